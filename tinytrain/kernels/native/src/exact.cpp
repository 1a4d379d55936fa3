// The exact kernels for one instruction set; compiled once for each, without fused multiply-adds.
#include "gathering.h"
#include "images.h"
#include "loss.h"
#include "padding.h"
#include "updates.h"

namespace TT_ISA {

extern const ExactTable exact;
const ExactTable exact = {
    sgd, adam, rmsprop, lion, square_sums, scale, cross_entropy_forward, cross_entropy_backward, resize, look_up,
    gather_images, pad,
};

}  // namespace TT_ISA
