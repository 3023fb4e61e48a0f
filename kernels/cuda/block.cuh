// What one block does with memory that its threads share, for kernels that are written down.

// out = a b: (m, k) times (k, n), row-major. An element of a lies `a_down` from the one below it and
// `a_along` from the one beside it; those of b likewise. A thread has TILE x TILE numbers, whose
// rows and columns lie so far apart that neighbouring threads read neighbouring numbers. Where b
// lies along k, threads begin at places of k that are one apart: else all of them would read from
// one bank. Each number is added up in an order that depends on sizes alone.
template <int TILE, bool TURNED> __device__ void product(
    const real* a, int a_down, int a_along, const real* b, int b_down, int b_along, real* out,
    int m, int n, int k) {
  int tall = (m + TILE - 1) / TILE, wide = (n + TILE - 1) / TILE;
  for (int tile = thread(); tile < tall * wide; tile += threads()) {
    int row = tile / wide, column = tile % wide, at = TURNED ? column % k : 0;
    const real *left[TILE], *right[TILE];  // beyond the end the last ones: they are not written
    real sum[TILE][TILE];
#pragma unroll
    for (int i = 0; i < TILE; i++) {
      left[i] = a + min(row + i * tall, m - 1) * a_down;
      right[i] = b + min(column + i * wide, n - 1) * b_along;
#pragma unroll
      for (int j = 0; j < TILE; j++) sum[i][j] = 0;
    }
#pragma unroll 2
    for (int step = 0; step < k; step++) {
      real x[TILE], y[TILE];
#pragma unroll
      for (int i = 0; i < TILE; i++) x[i] = left[i][at * a_along];
#pragma unroll
      for (int i = 0; i < TILE; i++) y[i] = right[i][at * b_down];
#pragma unroll
      for (int i = 0; i < TILE; i++)
#pragma unroll
        for (int j = 0; j < TILE; j++) sum[i][j] += x[i] * y[j];
      if (++at == k) at = 0;
    }
#pragma unroll
    for (int i = 0; i < TILE; i++)
#pragma unroll
      for (int j = 0; j < TILE; j++) {
        int down = row + i * tall, along = column + j * wide;
        if (down < m && along < n) out[down * n + along] = sum[i][j];
      }
  }
}

// Numbers from one memory to another.
template <class T> __device__ void copy(const T* from, T* to, long long n) {
  for (long long i = thread(); i < n; i += threads()) to[i] = from[i];
}
