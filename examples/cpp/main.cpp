// Tracks a target in a video or in a folder of pictures, and writes its boxes.
#include <algorithm>
#include <cctype>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/videoio.hpp>
#include <sstream>

#include "tracker.hpp"

namespace {

constexpr const char* kHelp = R"(Track a target with an exported MixFormerV2.

usage: mixformerv2_track MODEL FRAMES --init X,Y,W,H [--out FILE] [--threads N]

  MODEL            folder with template.onnx and search.onnx (tools/deployment/export.py)
  FRAMES           a video, a folder of pictures (jpg, jpeg, png, bmp; img2 before img10), or a
                   quoted pattern such as 'frames/*.jpg'
  --init X,Y,W,H   the target in the first frame: left, top, width, height in pixels
  --out FILE       where to write the boxes, one line x,y,width,height for each frame, the first
                   one included (default: to the screen)
  --threads N      threads of the network (default: one per core)
  --help           print this

example: mixformerv2_track exported/tiny clip.mp4 --init 316,139,112,116 --out boxes.txt
)";

struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Arguments {
  std::string model, frames, out;
  cv::Rect2d box;
  int threads = 0;
};

cv::Rect2d parse_box(const std::string& text) {
  std::istringstream stream(text);
  double values[4];
  char comma = ',';
  for (int i = 0; i < 4; ++i)
    if ((i && !(stream >> comma)) || comma != ',' || !(stream >> values[i]))
      throw UsageError("--init is '" + text + "', expected four numbers x,y,width,height");
  if (!(stream >> std::ws).eof())
    throw UsageError("--init is '" + text + "', expected no more than four numbers");
  return {values[0], values[1], values[2], values[3]};
}

int parse_threads(const std::string& text) {
  std::istringstream stream(text);
  int threads;
  if (!(stream >> threads) || !stream.eof() || threads < 1)
    throw UsageError("--threads is '" + text + "', expected an integer >= 1");
  return threads;
}

Arguments parse(const std::vector<std::string>& words) {
  Arguments arguments;
  std::vector<std::string> places;
  bool has_box = false;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word.rfind("--", 0) != 0) {
      places.push_back(word);
      continue;
    }
    if (word != "--init" && word != "--out" && word != "--threads")
      throw UsageError("there is no option " + word);
    if (++i == words.size()) throw UsageError(word + " needs a value");
    if (word == "--out") arguments.out = words[i];
    if (word == "--threads") arguments.threads = parse_threads(words[i]);
    if (word == "--init") {
      arguments.box = parse_box(words[i]);
      has_box = true;
    }
  }
  if (places.size() != 2)
    throw UsageError("expected MODEL and FRAMES, got " + std::to_string(places.size()) +
                     " words without an option");
  if (!has_box) throw UsageError("--init is missing: where is the target in the first frame?");
  arguments.model = places[0];
  arguments.frames = places[1];
  return arguments;
}

// Whether a name comes first as people sort: img2 before img10, capitals as small letters.
bool comes_before(const std::string& one, const std::string& other) {
  const auto is_digit = [](unsigned char c) { return std::isdigit(c) != 0; };
  size_t i = 0, j = 0;
  while (i < one.size() && j < other.size()) {
    if (is_digit(one[i]) != is_digit(other[j])) return is_digit(one[i]);
    if (is_digit(one[i])) {
      while (i < one.size() && one[i] == '0') ++i;
      while (j < other.size() && other[j] == '0') ++j;
      size_t a = i, b = j;
      while (a < one.size() && is_digit(one[a])) ++a;
      while (b < other.size() && is_digit(other[b])) ++b;
      if (a - i != b - j) return a - i < b - j;
      if (const int order = one.compare(i, a - i, other, j, b - j)) return order < 0;
      i = a, j = b;
    } else {
      const int x = std::tolower(static_cast<unsigned char>(one[i++]));
      const int y = std::tolower(static_cast<unsigned char>(other[j++]));
      if (x != y) return x < y;
    }
  }
  if (one.size() - i != other.size() - j) return i == one.size();
  return one < other;
}

// Reads the frames of a video, of a folder or of a pattern, one after the other.
class Frames {
 public:
  explicit Frames(const std::string& source) {
    namespace fs = std::filesystem;
    if (fs::is_directory(source) || source.find('*') != std::string::npos) {
      std::vector<cv::String> files;
      cv::glob(source, files, false);
      for (const std::string& file : files)
        if (is_picture(file)) pictures_.push_back(file);
      std::sort(pictures_.begin(), pictures_.end(), comes_before);
      if (pictures_.empty())
        throw std::runtime_error(source + " has no pictures (jpg, jpeg, png or bmp)");
    } else if (!fs::exists(source)) {
      throw std::runtime_error("there is no file or folder " + source);
    } else if (!video_.open(source)) {
      throw std::runtime_error("OpenCV cannot open the video " + source +
                               "; convert it, or give a folder of its frames");
    }
  }

  // False after the last frame.
  bool read(cv::Mat& frame) {
    if (pictures_.empty()) return video_.read(frame);
    if (next_ == pictures_.size()) return false;
    frame = cv::imread(pictures_[next_++], cv::IMREAD_COLOR);
    if (frame.empty()) throw std::runtime_error("cannot read " + pictures_[next_ - 1]);
    return true;
  }

 private:
  static bool is_picture(const std::filesystem::path& file) {
    std::string suffix = file.extension().string();
    for (char& c : suffix) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return file.filename().string()[0] != '.' &&
           (suffix == ".jpg" || suffix == ".jpeg" || suffix == ".png" || suffix == ".bmp");
  }

  std::vector<std::string> pictures_;
  size_t next_ = 0;
  cv::VideoCapture video_;
};

void write_box(std::ostream& out, const cv::Rect2d& box) {
  out << box.x << ',' << box.y << ',' << box.width << ',' << box.height << '\n';
}

void run(const Arguments& arguments) {
  mixformerv2::Tracker tracker(arguments.model, arguments.threads);
  Frames frames(arguments.frames);
  cv::Mat frame;
  if (!frames.read(frame)) throw std::runtime_error(arguments.frames + " has no frames");
  tracker.init(frame, arguments.box);

  std::ofstream file;
  if (!arguments.out.empty()) file.open(arguments.out);
  if (!file) throw std::runtime_error("cannot write " + arguments.out);
  std::ostream& out = arguments.out.empty() ? std::cout : file;
  out << std::fixed << std::setprecision(4);
  write_box(out, arguments.box);

  std::chrono::duration<double, std::milli> tracking{};
  int count = 0;
  for (; frames.read(frame); ++count) {
    const auto start = std::chrono::steady_clock::now();
    const mixformerv2::Result result = tracker.update(frame);
    tracking += std::chrono::steady_clock::now() - start;
    write_box(out, result.box);
  }
  if (!out.flush()) throw std::runtime_error("cannot write " + arguments.out);
  if (count)
    std::cerr << count << " frames tracked, " << tracking.count() / count
              << " ms each without decoding\n";
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (std::find(words.begin(), words.end(), "--help") != words.end()) {
    std::cout << kHelp;
    return 0;
  }
  try {
    run(parse(words));
  } catch (const UsageError& error) {
    std::cerr << "error: " << error.what() << "; mixformerv2_track --help explains\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
    return 1;
  }
}
