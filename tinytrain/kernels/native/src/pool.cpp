#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#define PAUSE() _mm_pause()
#elif defined(__aarch64__)
#define PAUSE() asm volatile("yield")
#else
#define PAUSE()
#endif

namespace tinytrain {
namespace {

// A worker that has nothing to do looks for work this often before it sleeps: about half a millisecond, longer than it takes
// from one kernel to the next. Waking it costs 20 to 60 microseconds, most of them in the thread that wakes.
constexpr int SPINS = 50000;

// The pieces of a loop that one thread begins with. Threads have neighbouring pieces, the same ones in every loop over a batch:
// what a thread wrote in one layer is in its own cache when it reads it in the next. Whoever is done helps the others.
// The ticket says which loop is on (upper 32 bits) and the next piece (lower 32 bits). Whoever raises it by one has the
// piece; a worker that comes late fails to, for the loop is another, and so never runs what it has not seen whole.
struct alignas(64) Share {
  std::atomic<uint64_t> ticket{0};
  std::atomic<uint32_t> end{0};
};

constexpr int MOST_SHARES = 64;

struct Pool {
  std::mutex mutex;             // guards `workers`, `sleeping` and the waits
  std::condition_variable wake;
  std::vector<std::thread> workers;
  int sleeping = 0;
  bool stop = false;
  std::mutex turn;              // one loop at a time; another thread's loop runs on that thread alone
  std::atomic<Body> body{nullptr};
  std::atomic<void*> context{nullptr};
  std::atomic<int> num_shares{0};
  Share shares[MOST_SHARES];
  std::atomic<uint32_t> generation{0};
  std::atomic<int64_t> pieces_left{0};
  std::atomic<bool> out_of_memory{false};
};

std::atomic<int> wanted{0};
Pool* pool = nullptr;
thread_local bool in_piece = false;

int cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    int count = CPU_COUNT(&set);
    if (count > 0) return count;
  }
  unsigned count = std::thread::hardware_concurrency();
  return count ? (int)count : 1;
}

// Runs pieces of this loop until none is left: those of share `first`, then those of the shares behind it.
void take_pieces(Pool& p, uint32_t generation, int first) {
  int64_t done = 0;
  const int num_shares = p.num_shares.load(std::memory_order_relaxed);
  for (int i = 0; i < num_shares; i++) {
    Share& share = p.shares[(first + i) % num_shares];
    for (;;) {
      uint64_t now = share.ticket.load(std::memory_order_acquire);
      const uint32_t piece = (uint32_t)now;
      if ((uint32_t)(now >> 32) != generation || piece >= share.end.load(std::memory_order_acquire)) break;
      if (!share.ticket.compare_exchange_weak(now, now + 1, std::memory_order_acq_rel)) continue;
      in_piece = true;
      try {
        p.body.load(std::memory_order_relaxed)(p.context.load(std::memory_order_relaxed), piece);
      } catch (const std::bad_alloc&) {
        p.out_of_memory.store(true);
      }
      in_piece = false;
      done++;
    }
  }
  if (done) p.pieces_left.fetch_sub(done, std::memory_order_acq_rel);
}

void work(Pool* p, int number) {
  uint32_t seen = 0;
  for (;;) {
    uint32_t now = 0;
    bool found = false;
    for (int i = 0; i < SPINS && !found; i++) {
      now = p->generation.load(std::memory_order_acquire);
      found = now != seen;
      if (!found) PAUSE();
    }
    if (!found) {
      std::unique_lock<std::mutex> lock(p->mutex);
      p->sleeping++;
      p->wake.wait(lock, [&] { return p->stop || p->generation.load(std::memory_order_acquire) != seen; });
      p->sleeping--;
      if (p->stop) return;
      now = p->generation.load(std::memory_order_acquire);
    }
    seen = now;
    take_pieces(*p, now, number);
  }
}

Pool& the_pool(int threads) {
  if (!pool) pool = new Pool;
  try {
    while ((int)pool->workers.size() < threads - 1) pool->workers.emplace_back(work, pool, (int)pool->workers.size() + 1);
  } catch (const std::system_error&) {  // the system gives no more threads: fewer do the work
  }
  return *pool;
}

std::mutex pool_mutex;

// A child has the lock as it was in its parent, and none of its threads: so nobody holds it while the child is made, which
// makes a pool of its own; the memory of the parent's is left alone.
void before_fork() { pool_mutex.lock(); }

void after_fork() { pool_mutex.unlock(); }

void after_fork_in_child() {
  pool = nullptr;
  pool_mutex.unlock();
}

const int fork_handlers = pthread_atfork(before_fork, after_fork, after_fork_in_child);

}  // namespace

int num_threads() {
  int count = wanted.load();
  if (count == 0) {
    const char* text = getenv("OMP_NUM_THREADS");
    count = text ? atoi(text) : 0;
    if (count < 1 || count > cores()) count = cores();
    wanted.store(count);
  }
  return count;
}

void set_num_threads(int count) {
  std::lock_guard<std::mutex> guard(pool_mutex);
  wanted.store(count < 1 ? 1 : count);
  if (pool) {  // made anew by the next loop, with as many workers as are wanted
    std::lock_guard<std::mutex> turn(pool->turn);
    {
      std::lock_guard<std::mutex> lock(pool->mutex);
      pool->stop = true;
      pool->generation.fetch_add(1);
    }
    pool->wake.notify_all();
    for (auto& each : pool->workers) each.join();
    pool->workers.clear();
    pool->stop = false;
  }
}

void run_pieces(int64_t count, Body body, void* context) {
  int threads = num_threads();
  if (threads > count) threads = (int)count;
  Pool* p = nullptr;
  if (threads > 1 && !in_piece) {
    std::lock_guard<std::mutex> guard(pool_mutex);
    Pool& found = the_pool(num_threads());
    if (found.turn.try_lock()) p = &found;
  }
  if (!p) {
    for (int64_t piece = 0; piece < count; piece++) body(context, piece);
    return;
  }
  uint32_t generation = p->generation.load(std::memory_order_relaxed) + 1;
  const int num_shares = std::min(threads, MOST_SHARES);
  for (int i = 0; i < std::max(num_shares, p->num_shares.load(std::memory_order_relaxed)); i++)
    p->shares[i].ticket.store((uint64_t)generation << 32 | 0xffffffffu, std::memory_order_relaxed);  // nothing to take yet
  p->num_shares.store(num_shares, std::memory_order_relaxed);
  p->body.store(body, std::memory_order_relaxed);
  p->context.store(context, std::memory_order_relaxed);
  p->pieces_left.store(count, std::memory_order_relaxed);
  for (int i = 0; i < num_shares; i++) {
    p->shares[i].end.store((uint32_t)(count * (i + 1) / num_shares), std::memory_order_release);
    p->shares[i].ticket.store((uint64_t)generation << 32 | (uint64_t)(count * i / num_shares), std::memory_order_release);
  }
  {
    std::lock_guard<std::mutex> lock(p->mutex);
    p->generation.store(generation, std::memory_order_release);
    if (p->sleeping) p->wake.notify_all();
  }
  take_pieces(*p, generation, 0);
  for (int spins = 0; p->pieces_left.load(std::memory_order_acquire) > 0; spins++) {
    if (spins < SPINS) PAUSE();
    else sched_yield();
  }
  const bool failed = p->out_of_memory.exchange(false);
  p->turn.unlock();
  if (failed) throw std::bad_alloc();
}

namespace {

struct Scratch {
  float* memory[SCRATCH_SLOTS] = {};
  size_t size[SCRATCH_SLOTS] = {};
  ~Scratch() {
    for (float* each : memory)
      if (each) give_scratch(each);
  }
};

thread_local Scratch own;

}  // namespace

float* scratch(ScratchSlot slot, size_t num_floats) {
  if (own.size[slot] < num_floats) {
    if (own.memory[slot]) give_scratch(own.memory[slot]);
    own.memory[slot] = static_cast<float*>(take_scratch(num_floats * sizeof(float)));
    own.size[slot] = own.memory[slot] ? num_floats : 0;
    if (!own.memory[slot]) throw std::bad_alloc();
  }
  return own.memory[slot];
}

}  // namespace tinytrain
