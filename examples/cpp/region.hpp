// The search region: cutting it out of a frame, and mapping boxes back (tracking/region.py).
#pragma once

#include <opencv2/core.hpp>

namespace mixformerv2 {

// Cuts a square around a box out of a BGR frame, black outside of it, resized to the crop, RGB.
//
// The square's side is factor * sqrt(width * height), rounded up. A square that reaches the right
// or bottom border loses the last column or row to padding, as in the published tracker.
//
// Returns the pixels of the crop per pixel of the frame. `crop` keeps its memory.
double crop_region(const cv::Mat& frame, const cv::Rect2d& box, double factor, cv::Mat& crop);

// Maps left, top, right, bottom in [0, 1] of the search region, which was cut around `previous`,
// to a box in the frame; not clipped.
cv::Rect2d region_to_image(const float* edges, const cv::Rect2d& previous, int size,
                           double resize_factor);

// Clips a box so that at least `margin` pixels of it stay inside, in each direction.
cv::Rect2d clip_box(const cv::Rect2d& box, const cv::Size& frame_size, int margin);

}  // namespace mixformerv2
