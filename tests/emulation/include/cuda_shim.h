// CUDA C++ for a host compiler: the words of the language, and a scheduler that runs a block's threads as fibers.
//
// The blocks of a grid run one after the other. A thread of a block runs until it waits for others (a barrier, a shuffle);
// then the next one runs on a stack of its own. A kernel that never waits is a plain loop. What hardware would leave
// undefined - a barrier that some threads never reach, a value of a lane that is gone, a misaligned access - stops the
// launch with a message or gives NaN.
//
// Sources see TINYTRAIN_EMULATION defined, for what a host compiler cannot read (inline PTX).
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static constexpr int warpSize = 32;

namespace emulation {

constexpr size_t stack_bytes = 256 << 10;
constexpr size_t shared_limit = 227 << 10;  // what a block of compute capability 9.0 may ask for
constexpr size_t guard_bytes = 1024;
constexpr int warp_lanes = 32;

alignas(1024) static unsigned char dynamic_shared[shared_limit + guard_bytes];

enum State { READY, WAITING, DONE };
enum Operation { NOTHING, BARRIER, WARP_BARRIER, SHUFFLE, VOTE };

struct Fiber {
  void* stack = nullptr;
#if defined(__x86_64__)
  void* pointer = nullptr;
#else
  ucontext_t context;
#endif
};

struct Thread {
  State state;
  Fiber* fiber;
};

// Lanes of one warp that wait for each other. Values are kept twice: a lane may ask for the next exchange while others
// still read this one, but never for the one after it.
struct Meeting {
  unsigned mask;
  unsigned arrived = 0;
  unsigned count = 0;
  Operation operation = NOTHING;
  unsigned present[2] = {0, 0};
  unsigned char values[2][warp_lanes][16];
};

struct Block {
  unsigned threads = 0, alive = 0, at_barrier = 0;
  int votes = 0, vote_results[2] = {0, 0};  // of __syncthreads_or, _and, _count: threads that said yes
  unsigned barriers = 0;
  std::vector<Thread> thread;
  std::vector<std::vector<Meeting>> meetings;  // by warp
};

static Block block;
static unsigned current;
static void (*entry)(void**);
static void** arguments;
static std::vector<Fiber*> idle;
static Fiber* running;
static bool failed, backwards;
static char message[512];

#if defined(__x86_64__)
extern "C" void tinytrain_switch(void** from, void* to);
asm(R"(
.text
tinytrain_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
static void* scheduler;
static void resume(Fiber* fiber) { tinytrain_switch(&scheduler, fiber->pointer); }
static void leave() { tinytrain_switch(&running->pointer, scheduler); }
#else
static ucontext_t scheduler;
static void resume(Fiber* fiber) { swapcontext(&scheduler, &fiber->context); }
static void leave() { swapcontext(&running->context, &scheduler); }
#endif

[[noreturn]] static void run_threads() {
  for (;;) {
    entry(arguments);
    block.thread[current].state = DONE;
    leave();
  }
}

static Fiber* new_fiber() {
  Fiber* fiber = new Fiber;
  fiber->stack = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (fiber->stack == MAP_FAILED) abort();
#if defined(__x86_64__)
  // As if it had called `tinytrain_switch`: six registers, then where to go on; the stack is 16-byte aligned at a call.
  void** top = reinterpret_cast<void**>(static_cast<char*>(fiber->stack) + stack_bytes) - 8;
  memset(top, 0, 8 * sizeof(void*));
  top[6] = reinterpret_cast<void*>(&run_threads);
  fiber->pointer = top;
#else
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack;
  fiber->context.uc_stack.ss_size = stack_bytes;
  makecontext(&fiber->context, &run_threads, 0);
#endif
  return fiber;
}

static void free_fiber(Fiber* fiber) {
  munmap(fiber->stack, stack_bytes);
  delete fiber;
}

// Ends the launch. Never returns to a thread; the first message is kept.
static void fail(const char* format, ...) {
  if (!failed) {
    failed = true;
    int used = snprintf(message, sizeof message, "block (%u, %u, %u), thread (%u, %u, %u): ", blockIdx.x, blockIdx.y,
                        blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    va_list values;
    va_start(values, format);
    vsnprintf(message + used, sizeof message - used, format, values);
    va_end(values);
  }
  if (running) {
    block.thread[current].state = WAITING;
    leave();
  }
}

static unsigned lane() { return current % warp_lanes; }

static void wait() {
  block.thread[current].state = WAITING;
  leave();
}

static void open_barrier() {
  block.at_barrier = 0;
  block.vote_results[block.barriers++ & 1] = block.votes;
  block.votes = 0;
  for (Thread& each : block.thread)
    if (each.state == WAITING) each.state = READY;
}

// Waits for all threads of the block that have not ended; returns how many of them said yes.
static int barrier(bool yes) {
  unsigned turn = block.barriers;
  block.votes += yes;
  if (++block.at_barrier == block.alive) {
    block.thread[current].state = WAITING;
    open_barrier();
  } else {
    wait();
  }
  return block.vote_results[turn & 1];
}

static unsigned present_lanes() {
  unsigned warp = current / warp_lanes * warp_lanes, lanes = 0;
  for (unsigned i = warp; i < std::min(warp + warp_lanes, block.threads); ++i)
    if (block.thread[i].state != DONE) lanes |= 1u << (i - warp);
  return lanes;
}

static void close_meeting(Meeting& meeting, unsigned warp) {
  for (unsigned i = 0; i < warp_lanes; ++i)
    if (meeting.arrived >> i & 1) block.thread[warp * warp_lanes + i].state = READY;
  meeting.present[meeting.count & 1] = meeting.arrived;
  meeting.arrived = 0;
  ++meeting.count;
}

// Meets the lanes of `mask`, each of which brings a value; afterwards `values` holds them, and `present` who came.
static std::pair<unsigned char (*)[16], unsigned> meet(unsigned mask, Operation operation, const void* value, size_t size) {
  unsigned warp = current / warp_lanes;
  if (!(mask >> lane() & 1)) fail("the mask %08x of a warp operation leaves out the calling lane %u", mask, lane());
  size_t found = 0;
  std::vector<Meeting>& meetings = block.meetings[warp];
  while (found < meetings.size() && meetings[found].mask != mask) ++found;
  if (found == meetings.size()) {
    meetings.emplace_back();
    meetings.back().mask = mask;
  }
  Meeting* meeting = &meetings[found];
  if (meeting->arrived && meeting->operation != operation) fail("lanes of a warp are in different warp operations");
  meeting->operation = operation;
  unsigned turn = meeting->count & 1;
  memset(meeting->values[turn][lane()], 0xff, 16);
  if (size) memcpy(meeting->values[turn][lane()], value, size);
  meeting->arrived |= 1u << lane();
  if (meeting->arrived == (mask & present_lanes())) {
    close_meeting(*meeting, warp);
  } else {
    wait();
    meeting = &block.meetings[warp][found];  // others may have met under a new mask, and moved it
  }
  return {meeting->values[turn], meeting->present[turn]};
}

// A lane that ended may have been the last that others waited for.
static void thread_ended() {
  --block.alive;
  if (block.at_barrier && block.at_barrier == block.alive) open_barrier();
  unsigned warp = current / warp_lanes, lanes = present_lanes();
  for (Meeting& each : block.meetings[warp])
    if (each.arrived && each.arrived == (each.mask & lanes)) close_meeting(each, warp);
}

static void run_block() {
  block.threads = block.alive = blockDim.x * blockDim.y * blockDim.z;
  block.at_barrier = 0;
  block.votes = 0;
  block.barriers = 0;
  block.thread.assign(block.threads, Thread{READY, nullptr});
  block.meetings.assign((block.threads + warp_lanes - 1) / warp_lanes, {});
  while (block.alive && !failed) {
    bool moved = false;
    for (unsigned i = 0; i < block.threads && !failed; ++i) {
      current = backwards ? block.threads - 1 - i : i;
      Thread& thread = block.thread[current];
      if (thread.state != READY) continue;
      moved = true;
      threadIdx = {current % blockDim.x, current / blockDim.x % blockDim.y, current / (blockDim.x * blockDim.y)};
      if (!thread.fiber) {
        if (idle.empty()) idle.push_back(new_fiber());
        thread.fiber = idle.back();
        idle.pop_back();
      }
      running = thread.fiber;
      resume(running);
      running = nullptr;
      if (thread.state == DONE) {
        idle.push_back(thread.fiber);
        thread.fiber = nullptr;
        thread_ended();
      }
    }
    if (!moved && !failed) fail("threads wait for others that never come: a barrier or a warp operation within a branch");
  }
  for (Thread& each : block.thread)
    if (each.fiber) free_fiber(each.fiber);
}

// Runs a grid; returns nullptr, or what went wrong.
static const char* launch(void (*function)(void**), const unsigned* grid, const unsigned* threads, size_t shared,
                          void** values, int reverse) {
  if (shared > shared_limit) return "a block asks for more shared memory than there is";
  entry = function;
  arguments = values;
  failed = false;
  backwards = reverse;
  message[0] = 0;
  gridDim = dim3(grid[0], grid[1], grid[2]);
  blockDim = dim3(threads[0], threads[1], threads[2]);
  uint64_t blocks = uint64_t(grid[0]) * grid[1] * grid[2];
  memset(dynamic_shared + shared, 0xa5, guard_bytes);
  for (uint64_t i = 0; i < blocks && !failed; ++i) {
    uint64_t b = backwards ? blocks - 1 - i : i;
    blockIdx = {unsigned(b % grid[0]), unsigned(b / grid[0] % grid[1]), unsigned(b / (uint64_t(grid[0]) * grid[1]))};
    memset(dynamic_shared, 0xff, shared);
    run_block();
    for (size_t g = 0; g < guard_bytes && !failed; ++g)
      if (dynamic_shared[shared + g] != 0xa5) fail("wrote beyond the %zu bytes of dynamic shared memory", shared);
  }
  return failed ? message : nullptr;
}

template <class... A, size_t... I>
void call(void (*kernel)(A...), void** values, std::index_sequence<I...>) {
  kernel(*static_cast<std::remove_reference_t<A>*>(values[I])...);
}

template <class... A>
void call(void (*kernel)(A...), void** values) {
  call(kernel, values, std::index_sequence_for<A...>());
}

// One letter an argument and its size in bytes: p pointer, f floating, i integer or bool, s struct.
template <class T>
constexpr char kind_of() {
  return std::is_pointer_v<T> ? 'p' : std::is_floating_point_v<T> ? 'f' : std::is_integral_v<T> ? 'i' : 's';
}

template <class... A>
const char* signature(void (*)(A...)) {
  static char text[sizeof...(A) * 8 + 1];
  char* at = text;
  ((at += snprintf(at, 8, "%c%zu ", kind_of<A>(), sizeof(A))), ...);
  return text;
}

}  // namespace emulation

// Names with an underscore: the kernel's own name must not mean one of them.
#define TINYTRAIN_KERNEL(symbol, ...)                                                                            \
  static void symbol##_call(void** _values) { emulation::call(__VA_ARGS__, _values); }                           \
  extern "C" const char* symbol##_signature() { return emulation::signature(__VA_ARGS__); }                      \
  extern "C" const char* symbol(const unsigned* _grid, const unsigned* _threads, size_t _shared, void** _values, \
                                int _backwards) {                                                                \
    return emulation::launch(symbol##_call, _grid, _threads, _shared, _values, _backwards);                      \
  }

// What -fsanitize=alignment,bounds,integer-divide-by-zero calls: hardware faults on the first, and so do we on all.
struct EmulationPlace {
  const char* file;
  unsigned line, column;
};
extern "C" {
__attribute__((used)) void __ubsan_handle_type_mismatch_v1_abort(EmulationPlace* place, uintptr_t address) {
  emulation::fail("%s:%u: access to the null or misaligned address %zx", place->file, place->line, size_t(address));
}
__attribute__((used)) void __ubsan_handle_out_of_bounds_abort(EmulationPlace* place, uintptr_t index) {
  emulation::fail("%s:%u: index %zd is outside of the array", place->file, place->line, ssize_t(index));
}
__attribute__((used)) void __ubsan_handle_divrem_overflow_abort(EmulationPlace* place, uintptr_t, uintptr_t) {
  emulation::fail("%s:%u: division by zero", place->file, place->line);
}
}

#include "cuda_words.h"
