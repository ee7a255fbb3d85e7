# needs: folders of frames, each with a groundtruth.txt, in data/my-sequences;
#        weights/mixformerv2-tiny_synthetic.pth, which is in the repository
# makes: work_dirs/mixformerv2-tiny_test-folder/results.json: success, normalised
#        precision and precision on your own sequences
# run:   python tools/test.py configs/mixformerv2/mixformerv2-tiny_test-folder.py \
#            weights/mixformerv2-tiny_synthetic.pth \
#            --data-root data/my-sequences
_base_ = [
    '../_base_/models/mixformerv2-tiny.py',
    '../_base_/datasets/folder_test.py',
    '../_base_/default_runtime.py',
]
