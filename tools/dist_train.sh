#!/usr/bin/env bash
# Train in several processes: one per GPU, or on a machine without one, on its CPU.
#   bash tools/dist_train.sh CONFIG PROCESSES [options of tools/train.py]
# On several machines set NNODES, NODE_RANK and MASTER_ADDR (and PORT) as well.
set -euo pipefail

if [ $# -lt 2 ]; then
    sed -n '2,4s/^# *//p' "$0" >&2
    exit 2
fi
config=$1
processes=$2
shift 2

rendezvous=(--standalone)
if [ "${NNODES:-1}" -gt 1 ]; then
    rendezvous=(--nnodes="$NNODES" --node_rank="${NODE_RANK:-0}"
                --master_addr="$MASTER_ADDR" --master_port="${PORT:-29500}")
fi
exec "${PYTHON:-python}" -m torch.distributed.run "${rendezvous[@]}" --nproc_per_node="$processes" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
