// The dense layer beside its products: bias and activation, their derivatives, sums of columns.

// z = activation(z + bias), in place; z: (n / columns, columns). bias: (columns,), or none.
extern "C" __global__ void __launch_bounds__(256) bias_activation(
    real* z, const real* bias, long long n, int columns, int activation, real alpha) {
  long long packs = aligned(z) ? n / PACK : 0;
  for (long long at = first(); at < packs; at += stride()) {
    Pack some = load(z + at * PACK);
    int column = at * PACK % columns;
    for (int i = 0; i < PACK; i++) {
      some.of[i] = activate(activation, alpha, bias ? some.of[i] + bias[column] : some.of[i]);
      if (++column == columns) column = 0;
    }
    store(z + at * PACK, some);
  }
  for (long long i = packs * PACK + first(); i < n; i += stride())
    z[i] = activate(activation, alpha, bias ? z[i] + bias[i % columns] : z[i]);
}

extern "C" __global__ void __launch_bounds__(256) activation(
    const real* x, real* y, long long n, int activation, real alpha) {
  for (long long i = first(); i < n; i += stride()) y[i] = activate(activation, alpha, x[i]);
}

// made = the gradient before the activation, from the one behind it and the output y.
extern "C" __global__ void __launch_bounds__(256) activation_gradient(
    const real* gradient, const real* y, real* made, long long n, int activation, real alpha) {
  for (long long i = first(); i < n; i += stride())
    made[i] = activate_backward(activation, alpha, gradient[i], y[i]);
}

// The same, and its sums down the rows. A block takes 32 columns and `chunk` rows, its 8 rows of
// threads every eighth of them; sums: (blocks down the rows, columns). y: none where the
// activation is linear; then `made` is not written.
extern "C" __global__ void __launch_bounds__(256) activation_bias_gradient(
    const real* gradient, const real* y, real* made, real* sums, int rows, int columns, int chunk,
    int activation, real alpha) {
  __shared__ real parts[8][WARP + 1];
  int start = blockIdx.y * chunk, stop = min(start + chunk, rows);
  for (int begin = blockIdx.x * WARP; begin < columns; begin += gridDim.x * WARP) {
    int column = begin + threadIdx.x;
    real sum = 0;
    if (column < columns)
      for (int row = start + threadIdx.y; row < stop; row += 8) {
        long long at = (long long)row * columns + column;
        real one = gradient[at];
        if (y) made[at] = one = activate_backward(activation, alpha, one, y[at]);
        sum += one;
      }
    parts[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();  // every row of threads has its sum
    if (threadIdx.y == 0 && column < columns) {
      for (int i = 1; i < 8; i++) sum += parts[i][threadIdx.x];
      sums[(long long)blockIdx.y * columns + column] = sum;
    }
    __syncthreads();  // the sums were read: those of the next columns may be written
  }
}
