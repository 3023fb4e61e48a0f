// float32 as bfloat16, which is kept as the 16 bits that it is.

// To the nearest, and of two as near to the even one; NaN stays NaN.
__device__ inline unsigned rounded(float x) {
  unsigned bits = __float_as_uint(x);
  return x != x ? bits >> 16 | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

// Four at once where both lie so.
extern "C" __global__ void __launch_bounds__(256) round_to_bfloat16(
    const float* x, unsigned short* out, long long n) {
  bool wide = !(reinterpret_cast<word64>(x) % 16) && !(reinterpret_cast<word64>(out) % 8);
  long long packs = wide ? n / 4 : 0;
  for (long long at = first(); at < packs; at += stride()) {
    float4 four = reinterpret_cast<const float4*>(x)[at];
    word64 low = rounded(four.x) | rounded(four.y) << 16;
    word64 high = rounded(four.z) | rounded(four.w) << 16;
    reinterpret_cast<word64*>(out)[at] = low | high << 32;
  }
  for (long long i = packs * 4 + first(); i < n; i += stride())
    out[i] = (unsigned short)rounded(x[i]);
}
