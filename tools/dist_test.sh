#!/usr/bin/env bash
# Test in several processes: one per GPU, or on a machine without one, on its CPU.
#   bash tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options of tools/test.py]
# On several machines set NNODES, NODE_RANK and MASTER_ADDR (and PORT) as well.
set -euo pipefail

if [ $# -lt 3 ]; then
    sed -n '2,4s/^# *//p' "$0" >&2
    exit 2
fi
config=$1
checkpoint=$2
processes=$3
shift 3

rendezvous=(--standalone)
if [ "${NNODES:-1}" -gt 1 ]; then
    rendezvous=(--nnodes="$NNODES" --node_rank="${NODE_RANK:-0}"
                --master_addr="$MASTER_ADDR" --master_port="${PORT:-29500}")
fi
exec "${PYTHON:-python}" -m torch.distributed.run "${rendezvous[@]}" --nproc_per_node="$processes" \
    "$(dirname "$0")/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
