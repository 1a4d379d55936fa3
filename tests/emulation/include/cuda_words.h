// The words of CUDA C++ that need no header there: vector types, mathematics, warp operations, atomics on integers.
// There are no atomics on floats: their order is not fixed, and the project's kernels promise to repeat themselves.
#pragma once

#define EMULATION_VECTORS(T, name, align2, align4) \
  struct name##1 {                                 \
    T x;                                           \
  };                                               \
  struct alignas(align2) name##2 {                 \
    T x, y;                                        \
  };                                               \
  struct name##3 {                                 \
    T x, y, z;                                     \
  };                                               \
  struct alignas(align4) name##4 {                 \
    T x, y, z, w;                                  \
  };                                               \
  inline name##1 make_##name##1(T x) { return {x}; }                                  \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; }                          \
  inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                  \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

#define uint3 emulation_uint3  // the scheduler's own comes before
EMULATION_VECTORS(signed char, char, 2, 4)
EMULATION_VECTORS(unsigned char, uchar, 2, 4)
EMULATION_VECTORS(short, short, 4, 8)
EMULATION_VECTORS(unsigned short, ushort, 4, 8)
EMULATION_VECTORS(int, int, 8, 16)
EMULATION_VECTORS(unsigned, uint, 8, 16)
EMULATION_VECTORS(long long, longlong, 16, 16)
EMULATION_VECTORS(unsigned long long, ulonglong, 16, 16)
EMULATION_VECTORS(float, float, 8, 16)
EMULATION_VECTORS(double, double, 16, 16)
#undef uint3

// --- barriers and warp operations

inline void __syncthreads() { emulation::barrier(false); }
inline int __syncthreads_count(int yes) { return emulation::barrier(yes != 0); }
inline int __syncthreads_or(int yes) { return emulation::barrier(yes != 0) != 0; }
inline int __syncthreads_and(int yes) { return emulation::barrier(yes == 0) == 0; }
inline void __syncwarp(unsigned mask = 0xffffffffu) { emulation::meet(mask, emulation::WARP_BARRIER, nullptr, 0); }
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __trap() { emulation::fail("__trap()"); }
inline unsigned __activemask() { return emulation::present_lanes(); }

namespace emulation {
// The value of lane `from`; NaN or all ones where there is no such lane any more.
template <class T>
T exchange(unsigned mask, T value, unsigned from) {
  static_assert(sizeof(T) <= 16);
  auto [values, present] = meet(mask, SHUFFLE, &value, sizeof(T));
  if (present >> from & 1) {
    memcpy(&value, values[from], sizeof(T));
  } else {
    memset(&value, 0xff, sizeof(T));
  }
  return value;
}
}  // namespace emulation

template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  unsigned lane = emulation::lane();
  return emulation::exchange(mask, value, (lane & ~(width - 1)) + (from & (width - 1)));
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  unsigned lane = emulation::lane();
  return emulation::exchange(mask, value, (lane & (width - 1)) >= delta ? lane - delta : lane);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  unsigned lane = emulation::lane();
  return emulation::exchange(mask, value, (lane & (width - 1)) + delta < unsigned(width) ? lane + delta : lane);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  unsigned lane = emulation::lane(), from = lane ^ bits;
  return emulation::exchange(mask, value, from / width <= lane / width ? from : lane);
}

inline unsigned __ballot_sync(unsigned mask, int yes) {
  unsigned value = yes != 0, lanes = 0;
  auto [values, present] = emulation::meet(mask, emulation::VOTE, &value, sizeof value);
  for (unsigned i = 0; i < 32; ++i) lanes |= unsigned(present >> i & 1 && values[i][0]) << i;
  return lanes;
}
inline int __any_sync(unsigned mask, int yes) { return __ballot_sync(mask, yes) != 0; }
inline int __all_sync(unsigned mask, int yes) { return __ballot_sync(mask, !yes) == 0; }

#define EMULATION_WARP_REDUCTION(name, T, expression)                                       \
  inline T name(unsigned mask, T value) {                                                   \
    auto [values, present] = emulation::meet(mask, emulation::VOTE, &value, sizeof value);  \
    bool first = true;                                                                      \
    T a = 0, b;                                                                             \
    for (unsigned i = 0; i < 32; ++i) {                                                     \
      if (!(present >> i & 1)) continue;                                                    \
      memcpy(&b, values[i], sizeof b);                                                      \
      a = first ? b : T(expression);                                                        \
      first = false;                                                                        \
    }                                                                                       \
    return a;                                                                               \
  }
EMULATION_WARP_REDUCTION(__reduce_add_sync, int, unsigned(a) + unsigned(b))
EMULATION_WARP_REDUCTION(__reduce_add_sync, unsigned, a + b)
EMULATION_WARP_REDUCTION(__reduce_min_sync, int, std::min(a, b))
EMULATION_WARP_REDUCTION(__reduce_min_sync, unsigned, std::min(a, b))
EMULATION_WARP_REDUCTION(__reduce_max_sync, int, std::max(a, b))
EMULATION_WARP_REDUCTION(__reduce_max_sync, unsigned, std::max(a, b))
EMULATION_WARP_REDUCTION(__reduce_or_sync, unsigned, a | b)
EMULATION_WARP_REDUCTION(__reduce_and_sync, unsigned, a& b)
EMULATION_WARP_REDUCTION(__reduce_xor_sync, unsigned, a ^ b)

// --- atomics: no other thread runs meanwhile

#define EMULATION_ATOMIC(name, T, expression) \
  inline T name(T* at, T value) {             \
    T old = *at;                              \
    *at = static_cast<T>(expression);          \
    return old;                               \
  }
#define EMULATION_ATOMICS(T)                              \
  EMULATION_ATOMIC(atomicAdd, T, old + value)             \
  EMULATION_ATOMIC(atomicMin, T, std::min(old, value))    \
  EMULATION_ATOMIC(atomicMax, T, std::max(old, value))    \
  EMULATION_ATOMIC(atomicAnd, T, old& value)              \
  EMULATION_ATOMIC(atomicOr, T, old | value)              \
  EMULATION_ATOMIC(atomicXor, T, old ^ value)             \
  EMULATION_ATOMIC(atomicExch, T, value)                  \
  inline T atomicCAS(T* at, T expected, T value) {        \
    T old = *at;                                          \
    if (old == expected) *at = value;                     \
    return old;                                           \
  }
EMULATION_ATOMICS(int)
EMULATION_ATOMICS(unsigned)
EMULATION_ATOMICS(unsigned long long)
EMULATION_ATOMIC(atomicInc, unsigned, old >= value ? 0 : old + 1)
EMULATION_ATOMIC(atomicSub, int, old - value)
EMULATION_ATOMIC(atomicSub, unsigned, old - value)

// --- loads and stores with a hint

#define EMULATION_LOAD(name)     \
  template <class T>             \
  inline T name(const T* from) { \
    return *from;                \
  }
EMULATION_LOAD(__ldg)
EMULATION_LOAD(__ldca)
EMULATION_LOAD(__ldcg)
EMULATION_LOAD(__ldcs)
EMULATION_LOAD(__ldlu)
EMULATION_LOAD(__ldcv)
#define EMULATION_STORE(name)          \
  template <class T>                   \
  inline void name(T* to, T value) {   \
    *to = value;                       \
  }
EMULATION_STORE(__stcg)
EMULATION_STORE(__stcs)
EMULATION_STORE(__stwb)
EMULATION_STORE(__stwt)

// --- mathematics

namespace emulation {
// Keeps the compiler from fusing what must be rounded by itself.
template <class T>
inline T rounded(T value) {
  volatile T kept = value;
  return kept;
}
}  // namespace emulation

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __exp10f(float x) { return std::pow(10.0f, x); }
inline float __logf(float x) { return std::log(x); }
inline float __log2f(float x) { return std::log2(x); }
inline float __powf(float x, float y) { return std::pow(x, y); }
inline float __sinf(float x) { return std::sin(x); }
inline float __cosf(float x) { return std::cos(x); }
inline float __tanf(float x) { return std::tan(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __saturatef(float x) { return x > 0 ? std::min(x, 1.0f) : 0.0f; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __frsqrt_rn(float x) { return float(1.0 / std::sqrt(double(x))); }
inline float __fadd_rn(float x, float y) { return emulation::rounded(x + y); }
inline float __fsub_rn(float x, float y) { return emulation::rounded(x - y); }
inline float __fmul_rn(float x, float y) { return emulation::rounded(x * y); }
inline float __fdiv_rn(float x, float y) { return emulation::rounded(x / y); }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline double __dadd_rn(double x, double y) { return emulation::rounded(x + y); }
inline double __dmul_rn(double x, double y) { return emulation::rounded(x * y); }
inline float normcdff(float x) { return 0.5f * std::erfc(-x * 0.70710678f); }
inline int __float2int_rn(float x) { return int(std::nearbyint(x)); }
inline int __float2int_rz(float x) { return int(x); }
inline int __float2int_rd(float x) { return int(std::floor(x)); }
inline int __float2int_ru(float x) { return int(std::ceil(x)); }
inline unsigned __float2uint_rn(float x) { return unsigned(std::nearbyint(x)); }
inline float __int2float_rn(int x) { return float(x); }
inline float __uint2float_rn(unsigned x) { return float(x); }

template <class To, class From>
inline To emulation_bits(From value) {
  static_assert(sizeof(To) == sizeof(From));
  To bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline int __float_as_int(float x) { return emulation_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return emulation_bits<unsigned>(x); }
inline float __int_as_float(int x) { return emulation_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return emulation_bits<float>(x); }
inline long long __double_as_longlong(double x) { return emulation_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return emulation_bits<double>(x); }

inline unsigned __umulhi(unsigned x, unsigned y) { return unsigned((unsigned long long)x * y >> 32); }
inline int __mulhi(int x, int y) { return int((long long)x * y >> 32); }
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  return (unsigned long long)((unsigned __int128)x * y >> 64);
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return unsigned((((unsigned long long)high << 32 | low) << (shift & 31)) >> 32);
}
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  unsigned long long bytes = (unsigned long long)y << 32 | x;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) result |= unsigned(bytes >> 8 * (selector >> 4 * i & 7) & 0xff) << 8 * i;
  return result;
}

// As CUDA's: of two arguments of different types, in the wider one.
template <class A, class B>
inline std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return std::fmin(T(a), T(b));
  return T(a) < T(b) ? T(a) : T(b);
}
template <class A, class B>
inline std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return std::fmax(T(a), T(b));
  return T(a) > T(b) ? T(a) : T(b);
}
using std::isfinite;
using std::isinf;
using std::isnan;
using std::signbit;

// --- the words of the language

#define __global__ __attribute__((noinline, used))
#define __device__
#define __host__
#define __shared__ static
#define __constant__ static
#define __managed__ static
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __CUDA_ARCH__ 900
#define __CUDACC__ 1
#define __CUDACC_RTC__ 1
#define TINYTRAIN_EMULATION 1
#undef assert
#define assert(claim) ((claim) ? void() : emulation::fail("%s:%d: assertion failed: %s", __FILE__, __LINE__, #claim))
