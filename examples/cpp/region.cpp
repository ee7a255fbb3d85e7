#include "region.hpp"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>
#include <stdexcept>

namespace mixformerv2 {

double crop_region(const cv::Mat& frame, const cv::Rect2d& box, double factor, cv::Mat& crop) {
  const int side = static_cast<int>(std::ceil(std::sqrt(box.width * box.height) * factor));
  if (side < 1) throw std::runtime_error("the box has no area, so there is nothing to cut out");
  // nearbyint rounds half to even, as Python's round does.
  const int left = static_cast<int>(std::nearbyint(box.x + 0.5 * box.width - 0.5 * side));
  const int top = static_cast<int>(std::nearbyint(box.y + 0.5 * box.height - 0.5 * side));
  const int x = std::max(0, left), y = std::max(0, top);
  // One pixel more than needed is padded on the right and at the bottom, as published.
  const cv::Rect inside(x, y, std::min(left + side, frame.cols - 1) - x,
                        std::min(top + side, frame.rows - 1) - y);
  cv::Mat square;
  if (inside.width == side && inside.height == side) {
    square = frame(inside);
  } else {
    square = cv::Mat::zeros(side, side, frame.type());
    if (inside.width > 0 && inside.height > 0)
      frame(inside).copyTo(square(inside - cv::Point(left, top)));
  }
  cv::resize(square, crop, crop.size(), 0, 0, cv::INTER_LINEAR);
  cv::cvtColor(crop, crop, cv::COLOR_BGR2RGB);
  return static_cast<double>(crop.cols) / side;
}

cv::Rect2d region_to_image(const float* edges, const cv::Rect2d& previous, int size,
                           double resize_factor) {
  const double half = 0.5 * size / resize_factor;
  const auto pixels = [&](int edge) {
    return static_cast<double>(edges[edge]) * size / resize_factor;
  };
  return {pixels(0) + (previous.x + 0.5 * previous.width - half),
          pixels(1) + (previous.y + 0.5 * previous.height - half), pixels(2) - pixels(0),
          pixels(3) - pixels(1)};
}

cv::Rect2d clip_box(const cv::Rect2d& box, const cv::Size& frame_size, int margin) {
  cv::Rect2d clipped = box;
  const auto clip = [margin](double& start, double& length, double limit) {
    const double stop = std::min(std::max<double>(margin, start + length), limit);
    start = std::min(std::max(0.0, start), limit - margin);
    length = std::max<double>(margin, stop - start);
  };
  clip(clipped.x, clipped.width, frame_size.width);
  clip(clipped.y, clipped.height, frame_size.height);
  return clipped;
}

}  // namespace mixformerv2
