# needs: folders of frames, each with a groundtruth.txt, in data/my-sequences;
#        checkpoints/mixformerv2-s.pth, converted by
#        tools/model_converters/convert_checkpoint.py
# makes: work_dirs/mixformerv2-s_test-folder/results.json: success, normalised
#        precision and precision on your own sequences
# run:   python tools/test.py configs/mixformerv2/mixformerv2-s_test-folder.py \
#            checkpoints/mixformerv2-s.pth \
#            --data-root data/my-sequences
_base_ = [
    '../_base_/models/mixformerv2-s.py',
    '../_base_/datasets/folder_test.py',
    '../_base_/default_runtime.py',
]

# The search factor 4.5 of the published yaml and the code's default interval 200 hold, as the model
# base has them.
