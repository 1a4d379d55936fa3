// Memory for arrays, kept when it is freed and handed out again: a fresh page costs a fault, which for an activation takes as
// long as a pass over it.
//
// Large blocks are cut from a wide stretch of addresses, each from the lowest place where it fits, and melt with their free
// neighbours again: a block of one size can follow blocks of others in the same memory, and a training step touches little
// more than it needs at once. Small blocks are kept by size.
#include <pthread.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <map>
#include <mutex>

#include "pool.h"

namespace tinytrain {
namespace {

constexpr size_t LINE = 64, HUGE_PAGE = 2u << 20;
constexpr size_t SMALL = 32 << 10;            // bytes; from here on blocks are cut from segments
constexpr size_t SEGMENT = size_t(1) << 30;   // bytes of addresses; memory comes with the first touch
constexpr size_t SMALL_KEPT = 16u << 20;      // bytes of small blocks kept at most

// What stands in the cache line before a block.
struct Header {
  char* start;  // of the memory that the block takes up
  size_t size;  // of it
  bool is_small;
};

Header* header_of(void* block) { return reinterpret_cast<Header*>(static_cast<char*>(block) - LINE); }

struct Segment {
  size_t size;
  size_t touched;  // bytes from the start that have been handed out and not been given back to the system since
};

struct Keeper {
  std::mutex mutex;
  std::map<char*, Segment> segments;
  std::map<char*, size_t> free_at;
  std::multimap<size_t, char*> small;
  size_t small_kept = 0, made = 0;
  size_t in_use = 0, recent_peak = 0, before_peak = 0, gives = 0;
};

// Never destroyed: arrays may outlive the module. Scratch has stretches of its own, for it stays where it is, and free memory in
// front of it could not be given back.
Keeper& keeper() {
  static Keeper* one = new Keeper;
  return *one;
}
Keeper& scratch_keeper() {
  static Keeper* one = new Keeper;
  return *one;
}

// A child has the locks as they were in its parent: nobody holds them while the child is made.
void before_fork() { keeper().mutex.lock(), scratch_keeper().mutex.lock(); }
void after_fork() { scratch_keeper().mutex.unlock(), keeper().mutex.unlock(); }
const int fork_handlers = pthread_atfork(before_fork, after_fork, after_fork);

bool add_segment(Keeper& k, size_t needed) {
  needed = (needed + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
  for (size_t size = needed < SEGMENT ? SEGMENT : needed; size >= needed; size /= 2) {
    void* memory = mmap(nullptr, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) continue;
    char* start = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(memory) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
#if defined(MADV_HUGEPAGE)
    madvise(start, size, MADV_HUGEPAGE);  // with pages of 4 KiB the processor spends its time looking up addresses
#endif
    k.segments[start] = {size, 0};
    k.free_at[start] = size;
    return true;
  }
  return false;
}

Segment& segment_of(Keeper& k, char* at, char** start) {
  auto found = std::prev(k.segments.upper_bound(at));
  *start = found->first;
  return found->second;
}

// The start of `size` bytes cut from the first free stretch that holds them.
char* cut(Keeper& k, size_t size) {
  auto found = k.free_at.begin();
  while (found != k.free_at.end() && found->second < size) ++found;
  if (found == k.free_at.end()) {
    if (!add_segment(k, size)) return nullptr;
    return cut(k, size);
  }
  char* start = found->first;
  const size_t rest = found->second - size;
  k.free_at.erase(found);
  if (rest) k.free_at[start + size] = rest;
  char* base;
  Segment& segment = segment_of(k, start, &base);
  const size_t until = start + size - base;
  if (until > segment.touched) segment.touched = until;
  return start;
}

void melt(Keeper& k, char* start, size_t size) {
  auto next = k.free_at.find(start + size);
  if (next != k.free_at.end() && !k.segments.count(next->first)) {
    size += next->second;
    k.free_at.erase(next);
  }
  if (!k.segments.count(start)) {
    auto before = k.free_at.lower_bound(start);
    if (before != k.free_at.begin() && (--before)->first + before->second == start) {
      before->second += size;
      return;
    }
  }
  k.free_at[start] = size;
}

// Gives the free ends of segments back to the system, beyond `keep` bytes from their starts.
void trim(Keeper& k, size_t keep) {
  keep = (keep + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
  for (auto& [start, segment] : k.segments) {
    auto last = k.free_at.upper_bound(start + segment.size - 1);
    if (last == k.free_at.begin()) continue;
    --last;
    if (last->first < start || last->first + last->second != start + segment.size) continue;
    size_t from = (last->first - start + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    if (from < keep) from = keep;
    if (from >= segment.touched) continue;
    madvise(start + from, segment.touched - from, MADV_DONTNEED);
    segment.touched = from;
  }
}

void* take(Keeper& k, size_t bytes) {
  std::lock_guard<std::mutex> lock(k.mutex);
  if (bytes < SMALL) {
    const size_t size = (bytes + 2 * LINE - 1) / LINE * LINE;
    char* start;
    auto found = k.small.find(size);
    if (found != k.small.end()) {
      start = found->second;
      k.small.erase(found);
      k.small_kept -= size;
    } else {
      start = static_cast<char*>(aligned_alloc(LINE, size));
      if (!start) return nullptr;
    }
    void* block = start + LINE;
    *header_of(block) = {start, size, true};
    return block;
  }
  // Blocks begin at different places within their pages: where all arrays do at the same, a load and a store of the same
  // element of two arrays look like one address to the processor (their lower 12 bits are equal), and the load waits.
  const size_t shift = LINE * (1 + k.made++ * 37 % 64);
  const size_t size = (bytes + shift + 4095) / 4096 * 4096;
  char* start = cut(k, size);
  if (!start) return nullptr;
  k.in_use += size;
  if (k.in_use > k.recent_peak) k.recent_peak = k.in_use;
  *header_of(start + shift) = {start, size, false};
  return start + shift;
}

void give(Keeper& k, void* block) {
  const Header header = *header_of(block);
  std::lock_guard<std::mutex> lock(k.mutex);
  if (header.is_small) {
    if (k.small_kept + header.size > SMALL_KEPT) {
      free(header.start);
      return;
    }
    k.small.emplace(header.size, header.start);
    k.small_kept += header.size;
    return;
  }
  k.in_use -= header.size;
  melt(k, header.start, header.size);
  // What was needed lately decides how much is kept: twice as much, for blocks of different sizes leave gaps.
  if (++k.gives % 1024 == 0) {
    trim(k, (k.recent_peak > k.before_peak ? k.recent_peak : k.before_peak) * 2);
    k.before_peak = k.recent_peak;
    k.recent_peak = k.in_use;
  }
}

}  // namespace

void* take_block(size_t bytes) { return take(keeper(), bytes); }
void give_block(void* block) { give(keeper(), block); }
void* take_scratch(size_t bytes) { return take(scratch_keeper(), bytes); }
void give_scratch(void* block) { give(scratch_keeper(), block); }

size_t kept_bytes() {
  Keeper& k = keeper();
  std::lock_guard<std::mutex> lock(k.mutex);
  size_t touched = 0;
  for (const auto& each : k.segments) touched += each.second.touched;
  return touched - k.in_use + k.small_kept;
}

void drop_kept_blocks() {
  Keeper& k = keeper();
  std::lock_guard<std::mutex> lock(k.mutex);
  trim(k, 0);
  for (auto& each : k.small) free(each.second);
  k.small.clear();
  k.small_kept = 0;
}

}  // namespace tinytrain
