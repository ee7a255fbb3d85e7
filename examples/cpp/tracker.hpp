// The online tracker of MixFormerV2 around two exported graphs: ONNX Runtime and OpenCV, no Python.
//
// Crops, boxes and the policy of refreshing templates are those of mmtrack_mixformerv2/tracking,
// number by number. Sizes, factors and policy are read from the graphs.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <filesystem>
#include <opencv2/core.hpp>
#include <optional>
#include <string>
#include <vector>

namespace mixformerv2 {

// Constants that the export wrote into the graphs; tracking/settings.py says what each does.
struct Settings {
  int search_size, template_size;  // sides of the crops, pixels
  double search_factor, template_factor;
  int num_online_templates, update_interval;
  double score_threshold, max_score_decay;
  int clip_margin;
};

// Templates of one sequence: RGB crops that share their pixels and are never written to.
struct TemplateMemory {
  cv::Mat first;
  std::vector<cv::Mat> online;  // in the order of their slots
  cv::Mat candidate;            // best crop since the last update, the first one if there is none
  double best_score = -1;       // of the candidate; -1 (and its decayed values) if there is none
  size_t oldest = 0;            // slot that the next update overwrites once all are taken
};

struct Result {
  cv::Rect2d box;              // x, y, width, height in pixels of the frame
  std::optional<float> score;  // in [0, 1]; none from a model without a score head
  bool templates_updated;
};

// Follows one target. Frames are BGR and 8 bits deep, as OpenCV reads them.
class Tracker {
 public:
  // Loads template.onnx and search.onnx of a folder; 0 threads stand for one per core.
  // Throws std::runtime_error if that cannot be done, saying what to do.
  explicit Tracker(const std::filesystem::path& folder, int threads = 0);

  // A tensor points into search_crop_.
  Tracker(const Tracker&) = delete;
  Tracker& operator=(const Tracker&) = delete;

  // Starts a sequence. Throws std::runtime_error if frame or box are not usable.
  void init(const cv::Mat& frame, const cv::Rect2d& box);

  // Finds the target in the next frame. Throws std::runtime_error if its size differs from the
  // first one's, or if the network gives values that are not finite.
  Result update(const cv::Mat& frame);

 private:
  cv::Mat cut_template(const cv::Mat& frame) const;
  bool refresh_templates(const cv::Mat& frame, double score);
  void encode_templates();

  Ort::Env env_;
  Ort::Session template_session_, search_session_;
  Settings settings_;
  std::vector<std::string> search_input_names_;  // the crop, then the tensors of the cache
  bool has_score_;

  cv::Mat search_crop_;                    // the memory of the first search input
  std::vector<Ort::Value> search_inputs_;  // the crop, then the cache as the template graph left it
  TemplateMemory memory_;
  cv::Size frame_size_;
  cv::Rect2d box_;
  int frame_index_ = 0;  // number of frames tracked; 0 after the first one
};

}  // namespace mixformerv2
