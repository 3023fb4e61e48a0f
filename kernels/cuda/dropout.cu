// Philox4x32-10 (Salmon et al. 2011): the same words as `kernels/philox.py` makes on the host.

struct Words {
  unsigned of[4];
};

__device__ inline Words philox(unsigned block, unsigned stream, word64 counter, word64 seed) {
  unsigned a = block, b = stream, c = (unsigned)counter, d = (unsigned)(counter >> 32);
  unsigned low = (unsigned)seed, high = (unsigned)(seed >> 32);
  for (int round = 0; round < 10; round++) {
    word64 one = (word64)0xD2511F53u * a, two = (word64)0xCD9E8D57u * c;
    a = (unsigned)(two >> 32) ^ b ^ low;
    c = (unsigned)(one >> 32) ^ d ^ high;
    b = (unsigned)two;
    d = (unsigned)one;
    low += 0x9E3779B9u;
    high += 0xBB67AE85u;
  }
  return {{a, b, c, d}};
}

// 0 where the element's word is below the limit, else `scale`; a thread makes four elements, the
// first and the last fewer where the elements that come before, `skipped`, end within a block.
extern "C" __global__ void __launch_bounds__(256) dropout(
    long long seed, const long long* seed_at, long long counter, const long long* counter_at,
    long long skipped, unsigned stream, unsigned limit, real scale, real* out, long long n) {
  word64 key = (word64)number(seed, seed_at), step = (word64)number(counter, counter_at);
  long long begin = skipped / 4, within = skipped % 4;
  for (long long block = first(); block * 4 < n + within; block += stride()) {
    Words words = philox((unsigned)(begin + block), stream, step, key);
    for (int i = 0; i < 4; i++) {
      long long at = block * 4 + i - within;
      if (at >= 0 && at < n) out[at] = words.of[i] >= limit ? scale : real(0);
    }
  }
}
