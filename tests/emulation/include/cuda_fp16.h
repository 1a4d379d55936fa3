// __half and __half2 by bits; every operation is computed in float32 and rounded to nearest even, as on the device.
#pragma once

namespace emulation {

inline unsigned short half_bits(float x) {
  unsigned u = emulation_bits<unsigned>(x), sign = u >> 16 & 0x8000u, a = u & 0x7fffffffu;
  if (a > 0x7f800000u) return (unsigned short)(sign | 0x7fff);
  if (a >= 0x477ff000u) return (unsigned short)(sign | 0x7c00);  // rounds to 65536 or more
  if (a < 0x38800000u) {                                         // below 2^-14: a multiple of 2^-24
    float scaled = emulation_bits<float>(a) * 16777216.0f;       // exact, below 1024; nearbyint rounds to even
    return (unsigned short)(sign | unsigned(std::nearbyint(scaled)));
  }
  unsigned rounded = a + 0xfffu + (a >> 13 & 1);
  return (unsigned short)(sign | (rounded - 0x38000000u) >> 13);
}

inline float half_value(unsigned short h) {
  unsigned sign = (h & 0x8000u) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ffu;
  if (exponent == 31) return emulation_bits<float>(sign | 0x7f800000u | mantissa << 13);
  if (exponent == 0) return (sign ? -1.0f : 1.0f) * float(mantissa) * (1.0f / 16777216.0f);
  return emulation_bits<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

}  // namespace emulation

struct __align__(2) __half {
  unsigned short bits;
  __half() = default;
  __half(float x) : bits(emulation::half_bits(x)) {}
  __half(double x) : bits(emulation::half_bits(float(x))) {}
  __half(int x) : bits(emulation::half_bits(float(x))) {}
  operator float() const { return emulation::half_value(bits); }
};
typedef __half half;

struct __align__(4) __half2 {
  __half x, y;
};
typedef __half2 half2;

#define EMULATION_HALF_OPERATORS(T)                                                          \
  inline T operator+(T a, T b) { return T(float(a) + float(b)); }                            \
  inline T operator-(T a, T b) { return T(float(a) - float(b)); }                            \
  inline T operator*(T a, T b) { return T(float(a) * float(b)); }                            \
  inline T operator/(T a, T b) { return T(float(a) / float(b)); }                            \
  inline T& operator+=(T& a, T b) { return a = a + b; }                                      \
  inline T& operator-=(T& a, T b) { return a = a - b; }                                      \
  inline T& operator*=(T& a, T b) { return a = a * b; }                                      \
  inline bool operator==(T a, T b) { return float(a) == float(b); }                          \
  inline bool operator!=(T a, T b) { return float(a) != float(b); }                          \
  inline bool operator<(T a, T b) { return float(a) < float(b); }                            \
  inline bool operator>(T a, T b) { return float(a) > float(b); }                            \
  inline bool operator<=(T a, T b) { return float(a) <= float(b); }                          \
  inline bool operator>=(T a, T b) { return float(a) >= float(b); }                          \
  inline T __hadd(T a, T b) { return a + b; }                                                \
  inline T __hsub(T a, T b) { return a - b; }                                                \
  inline T __hmul(T a, T b) { return a * b; }                                                \
  inline T __hfma(T a, T b, T c) { return T(std::fma(float(a), float(b), float(c))); }       \
  inline T __hneg(T a) { return T(-float(a)); }                                              \
  inline T __habs(T a) { return T(std::fabs(float(a))); }                                    \
  inline T __hmax(T a, T b) { return T(std::fmax(float(a), float(b))); }                     \
  inline T __hmin(T a, T b) { return T(std::fmin(float(a), float(b))); }                     \
  inline bool __hisnan(T a) { return std::isnan(float(a)); }
#define EMULATION_HALF2_OPERATORS(T, T2)                                                     \
  inline T2 __hadd2(T2 a, T2 b) { return {a.x + b.x, a.y + b.y}; }                           \
  inline T2 __hsub2(T2 a, T2 b) { return {a.x - b.x, a.y - b.y}; }                           \
  inline T2 __hmul2(T2 a, T2 b) { return {a.x * b.x, a.y * b.y}; }                           \
  inline T2 __hfma2(T2 a, T2 b, T2 c) { return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)}; } \
  inline float __low2float(T2 a) { return float(a.x); }                                      \
  inline float __high2float(T2 a) { return float(a.y); }

EMULATION_HALF_OPERATORS(__half)
EMULATION_HALF2_OPERATORS(__half, __half2)

inline __half __float2half(float x) { return __half(x); }
inline __half __float2half_rn(float x) { return __half(x); }
inline __half __double2half(double x) { return __half(float(x)); }
inline float __half2float(__half x) { return float(x); }
inline __half __int2half_rn(int x) { return __half(float(x)); }
inline unsigned short __half_as_ushort(__half x) { return x.bits; }
inline short __half_as_short(__half x) { return short(x.bits); }
inline __half __ushort_as_half(unsigned short bits) { return emulation_bits<__half>(bits); }
inline __half2 __halves2half2(__half x, __half y) { return {x, y}; }
inline __half2 make_half2(__half x, __half y) { return {x, y}; }
inline __half2 __half2half2(__half x) { return {x, x}; }
inline __half2 __float2half2_rn(float x) { return {__half(x), __half(x)}; }
inline __half2 __floats2half2_rn(float x, float y) { return {__half(x), __half(y)}; }
inline __half2 __float22half2_rn(float2 x) { return {__half(x.x), __half(x.y)}; }
inline float2 __half22float2(__half2 x) { return {float(x.x), float(x.y)}; }
inline __half __low2half(__half2 x) { return x.x; }
inline __half __high2half(__half2 x) { return x.y; }
