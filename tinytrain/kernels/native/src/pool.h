// Threads that share the pieces of a loop.
//
// Pieces are small and are handed out one at a time, so that a core that another program takes away holds up one
// piece and not half of the loop. What a piece computes never depends on who computes it: results are the same bits for
// any number of threads.
#pragma once

#include <cstdint>
#include <cstddef>

namespace tinytrain {

typedef void (*Body)(void* context, int64_t piece);

int num_threads();
void set_num_threads(int count);

// Calls body(context, piece) for every piece from 0 to count - 1, in any order, on any thread; returns when all are done.
void run_pieces(int64_t count, Body body, void* context);

template <class F>
void parallel(int64_t count, const F& body) {
  auto call = [](void* context, int64_t piece) { (*static_cast<const F*>(context))(piece); };
  run_pieces(count, call, const_cast<F*>(&body));
}

// The same where there is enough to do: `work` floats to read or write, or sixteen times as many multiply-adds, in all. A
// second thread is there after some microseconds, in which the first has done the little there was.
constexpr int64_t WORTH_SHARING = 48 << 10;

template <class F>
void parallel_if_worth(int64_t work, int64_t count, const F& body) {
  if (work >= WORTH_SHARING) return parallel(count, body);
  for (int64_t piece = 0; piece < count; piece++) body(piece);
}

// Memory of the calling thread that stays its own from call to call: at least `bytes`, on a cache line. Slots keep the
// scratch of nested routines apart.
enum ScratchSlot {
  SCRATCH_SOURCE,
  SCRATCH_GRAD,
  SCRATCH_TILE,
  SCRATCH_OTHER,
  SCRATCH_RUNS,
  SCRATCH_PLACES,
  SCRATCH_LEFT,
  SCRATCH_RIGHT,
  SCRATCH_TURNED,
  SCRATCH_PANEL,
  SCRATCH_SLOTS
};
float* scratch(ScratchSlot slot, size_t num_floats);

// Blocks of memory that are kept when they are freed and handed out again: a fresh one costs a page fault every 4 KiB.
void* take_block(size_t bytes);
void give_block(void* block);
void* take_scratch(size_t bytes);
void give_scratch(void* block);
size_t kept_bytes();
void drop_kept_blocks();

}  // namespace tinytrain
