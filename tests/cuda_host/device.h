// What CUDA C++ takes for granted, for a C++ compiler of the host.
#pragma once
#include <math.h>
#include <string.h>
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("cu_shared")))
#define EXPORTED __attribute__((visibility("default")))

struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
struct Dim {
  unsigned x, y, z;
};
EXPORTED extern Dim threadIdx, blockIdx, blockDim, gridDim;
EXPORTED void block_barrier();
EXPORTED unsigned long long exchanged(unsigned mask, unsigned long long value, int source);
EXPORTED int lane();
EXPORTED void* shared_by_block();

inline void __syncthreads() { block_barrier(); }
template <class T> T __shfl_sync(unsigned mask, T value, int source) {
  unsigned long long word = 0;
  memcpy(&word, &value, sizeof(T));
  word = exchanged(mask, word, source);
  memcpy(&value, &word, sizeof(T));
  return value;
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int bits) {
  return __shfl_sync(mask, value, lane() ^ bits);
}
inline void __threadfence() {}
inline unsigned atomicInc(unsigned* at, unsigned limit) {
  unsigned before = *at;
  *at = before >= limit ? 0 : before + 1;
  return before;
}
inline float __int_as_float(int word) {
  float made;
  memcpy(&made, &word, 4);
  return made;
}
inline unsigned __float_as_uint(float x) {
  unsigned word;
  memcpy(&word, &x, 4);
  return word;
}
inline double __longlong_as_double(long long word) {
  double made;
  memcpy(&made, &word, 8);
  return made;
}
template <class T> T min(T a, T b) { return b < a ? b : a; }
template <class T> T max(T a, T b) { return a < b ? b : a; }
