#include "tracker.hpp"

#include <cmath>
#include <sstream>
#include <stdexcept>

#include "region.hpp"

namespace mixformerv2 {
namespace {

constexpr const char* kAdvice = "; export the tracker again (tools/deployment/export.py)";
constexpr double kLargestBoxInFrames = 2;  // a larger one is a mistake in its unit or its order

template <typename... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw std::runtime_error(message.str());
}

Ort::Env make_env() {
  const OrtApiBase* base = OrtGetApiBase();
  if (!base->GetApi(ORT_API_VERSION))
    fail("ONNX Runtime ", base->GetVersionString(), " is older than the headers of version 1.",
         ORT_API_VERSION, " that this program was built with; build it with older headers");
  return Ort::Env(ORT_LOGGING_LEVEL_WARNING, "mixformerv2");
}

Ort::Session open_session(const Ort::Env& env, const std::filesystem::path& path, int threads) {
  if (!std::filesystem::is_regular_file(path))
    fail("there is no file ", path, ", expected a folder with template.onnx and search.onnx",
         kAdvice);
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(threads);
  try {
    return Ort::Session(env, path.c_str(), options);
  } catch (const Ort::Exception& error) {
    fail("cannot load ", path, ": ", error.what(), kAdvice);
  }
}

// What the export wrote into a graph beside its weights.
class Metadata {
 public:
  Metadata(const Ort::Session& session, const char* graph)
      : graph_(graph), metadata_(session.GetModelMetadata()) {
    if (text("format") != "1")
      fail("the ", graph, " graph has format ", text("format"), ", expected 1", kAdvice);
    if (text("graph") != graph)
      fail("the file ", graph, ".onnx holds the ", text("graph"), " graph", kAdvice);
  }

  std::string text(const std::string& key) const {
    const auto value = metadata_.LookupCustomMetadataMapAllocated(
        ("mixformerv2." + key).c_str(), Ort::AllocatorWithDefaultOptions());
    if (!value) fail("the ", graph_, " graph does not say its ", key, kAdvice);
    return value.get();
  }

  template <typename Number>
  Number number(const std::string& key, Number least) const {
    std::istringstream stream(text(key));
    stream.imbue(std::locale::classic());
    Number value;
    if (!(stream >> value) || !stream.eof() || value < least)
      fail("the ", graph_, " graph says ", key, " = ", text(key), ", expected a number >= ", least,
           kAdvice);
    return value;
  }

 private:
  std::string graph_;
  Ort::ModelMetadata metadata_;
};

Settings read_settings(const Metadata& metadata) {
  return {metadata.number("search_size", 1),          metadata.number("template_size", 1),
          metadata.number("search_factor", 0.0),      metadata.number("template_factor", 0.0),
          metadata.number("num_online_templates", 0), metadata.number("update_interval", 1),
          metadata.number("score_threshold", 0.0),    metadata.number("max_score_decay", 0.0),
          metadata.number("clip_margin", 1)};
}

bool has_output(const Ort::Session& session, const std::string& name) {
  Ort::AllocatorWithDefaultOptions allocator;
  for (size_t i = 0; i < session.GetOutputCount(); ++i)
    if (name == session.GetOutputNameAllocated(i, allocator).get()) return true;
  return false;
}

std::vector<const char*> pointers(const std::vector<std::string>& names) {
  std::vector<const char*> result;
  for (const std::string& name : names) result.push_back(name.c_str());
  return result;
}

Ort::Value tensor(uint8_t* data, const std::vector<int64_t>& shape) {
  size_t size = 1;
  for (const int64_t length : shape) size *= length;
  return Ort::Value::CreateTensor<uint8_t>(
      Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault), data, size, shape.data(),
      shape.size());
}

void check_frame(const cv::Mat& frame) {
  if (frame.empty()) fail("the frame is empty, expected a picture; check the file");
  if (frame.type() != CV_8UC3)
    fail("the frame has OpenCV's type ", cv::typeToString(frame.type()),
         ", expected CV_8UC3 (BGR, 8 bits); convert it with cv::cvtColor or Mat::convertTo");
}

void check_box(const cv::Rect2d& box, const cv::Size& frame) {
  const bool finite = std::isfinite(box.x) && std::isfinite(box.y) && std::isfinite(box.width) &&
                      std::isfinite(box.height);
  const bool overlaps = box.x < frame.width && box.y < frame.height && box.x + box.width > 0 &&
                        box.y + box.height > 0;
  if (!finite || box.width <= 0 || box.height <= 0 || !overlaps ||
      box.width > kLargestBoxInFrames * frame.width ||
      box.height > kLargestBoxInFrames * frame.height)
    fail("the box is ", box.x, ",", box.y, ",", box.width, ",", box.height,
         ", expected x,y,width,height in pixels with positive sizes, inside of the frame of ",
         frame.width, " x ", frame.height, " px");
}

}  // namespace

Tracker::Tracker(const std::filesystem::path& folder, int threads)
    : env_(make_env()),
      template_session_(open_session(env_, folder / "template.onnx", threads)),
      search_session_(open_session(env_, folder / "search.onnx", threads)) {
  const Metadata search(search_session_, "search"), templates(template_session_, "template");
  if (search.text("model_hash") != templates.text("model_hash"))
    fail("template.onnx and search.onnx in ", folder, " belong to different models", kAdvice);
  settings_ = read_settings(search);
  search_input_names_ = {"crop"};
  std::istringstream names(search.text("cache"));
  for (std::string name; std::getline(names, name, ',');) search_input_names_.push_back(name);
  has_score_ = has_output(search_session_, "score");

  const int size = settings_.search_size;
  search_crop_.create(size, size, CV_8UC3);
  search_inputs_.push_back(tensor(search_crop_.data, {1, size, size, 3}));
}

void Tracker::init(const cv::Mat& frame, const cv::Rect2d& box) {
  check_frame(frame);
  check_box(box, frame.size());
  frame_size_ = frame.size();
  box_ = box;
  frame_index_ = 0;
  memory_ = TemplateMemory();
  memory_.first = memory_.candidate = cut_template(frame);
  if (settings_.num_online_templates) memory_.online.push_back(memory_.first);
  encode_templates();
}

Result Tracker::update(const cv::Mat& frame) {
  check_frame(frame);
  if (frame_size_.empty()) fail("update was called before init, which says where the target is");
  if (frame.size() != frame_size_)
    fail("frame ", frame_index_ + 1, " is ", frame.cols, " x ", frame.rows,
         " px but the sequence began with ", frame_size_.width, " x ", frame_size_.height,
         " px; resize the frames to one size, or call init again");

  const double resize_factor = crop_region(frame, box_, settings_.search_factor, search_crop_);
  const char* output_names[] = {"box", "score"};
  const auto input_names = pointers(search_input_names_);
  const auto outputs =
      search_session_.Run(Ort::RunOptions(), input_names.data(), search_inputs_.data(),
                          search_inputs_.size(), output_names, has_score_ ? 2 : 1);
  const float* edges = outputs[0].GetTensorData<float>();
  std::optional<float> score;
  if (has_score_) score = *outputs[1].GetTensorData<float>();
  bool finite = std::isfinite(score.value_or(0));
  for (int edge = 0; edge < 4; ++edge) finite = finite && std::isfinite(edges[edge]);
  if (!finite) fail("the network gave values that are not finite at frame ", frame_index_ + 1);

  const auto found = region_to_image(edges, box_, settings_.search_size, resize_factor);
  box_ = clip_box(found, frame_size_, settings_.clip_margin);
  ++frame_index_;
  const bool updated = score && refresh_templates(frame, *score);
  if (updated) encode_templates();
  return {box_, score, updated};
}

cv::Mat Tracker::cut_template(const cv::Mat& frame) const {
  cv::Mat crop(settings_.template_size, settings_.template_size, CV_8UC3);
  crop_region(frame, box_, settings_.template_factor, crop);
  return crop;
}

// Between two updates the best-scored crop is the candidate; at an update it becomes an online
// template, and the search for the next one starts over from the first frame's template
// (tracking/template.py). Returns whether the templates changed.
bool Tracker::refresh_templates(const cv::Mat& frame, double score) {
  memory_.best_score *= settings_.max_score_decay;
  if (score > settings_.score_threshold && score > memory_.best_score) {
    memory_.candidate = cut_template(frame);
    memory_.best_score = score;
  }
  if (frame_index_ % settings_.update_interval) return false;

  bool changed = false;
  const size_t capacity = settings_.num_online_templates;
  if (memory_.online.size() < capacity) {
    memory_.online.push_back(memory_.candidate);
    changed = true;
  } else if (capacity) {
    cv::Mat& slot = memory_.online[memory_.oldest];
    memory_.oldest = (memory_.oldest + 1) % capacity;
    changed = slot.data != memory_.candidate.data;
    slot = memory_.candidate;
  }
  memory_.candidate = memory_.first;
  memory_.best_score = -1;
  return changed;
}

// Its outputs become inputs of the search graph as they are: nothing is copied, now or per frame.
void Tracker::encode_templates() {
  std::vector<uint8_t> crops(memory_.first.datastart, memory_.first.dataend);
  for (const cv::Mat& crop : memory_.online)
    crops.insert(crops.end(), crop.datastart, crop.dataend);
  const int64_t count = 1 + memory_.online.size(), size = settings_.template_size;
  const Ort::Value input = tensor(crops.data(), {1, count, size, size, 3});
  const char* input_name = "crops";
  const auto names = pointers(search_input_names_);
  auto cache = template_session_.Run(Ort::RunOptions(), &input_name, &input, 1, names.data() + 1,
                                     names.size() - 1);
  search_inputs_.erase(search_inputs_.begin() + 1, search_inputs_.end());
  for (Ort::Value& value : cache) search_inputs_.push_back(std::move(value));
}

}  // namespace mixformerv2
