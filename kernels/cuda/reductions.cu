// Sums, means and largest elements over a run of axes, and where the largest is.

// x: (outer, count, inner) -> y: (outer, inner), a thread for each; scale: of the sum.
extern "C" __global__ void __launch_bounds__(256) sum_strided(
    const real* x, real* y, long long outer, long long count, long long inner, real scale) {
  for (long long i = first(); i < outer * inner; i += stride()) {
    const real* at = x + i / inner * count * inner + i % inner;
    real sum = 0;
    for (long long k = 0; k < count; k++) sum += at[k * inner];
    y[i] = sum * scale;
  }
}

extern "C" __global__ void __launch_bounds__(256) max_strided(
    const real* x, real* y, long long outer, long long count, long long inner) {
  for (long long i = first(); i < outer * inner; i += stride()) {
    const real* at = x + i / inner * count * inner + i % inner;
    real found = at[0];
    for (long long k = 1; k < count; k++) found = Largest::join(found, at[k * inner]);
    y[i] = found;
  }
}

// x: (rows, columns) -> sums: (blocks down the rows, columns), of `chunk` rows each.
extern "C" __global__ void __launch_bounds__(256) sum_columns(
    const real* x, real* sums, long long rows, int columns, int chunk, real scale) {
  long long start = (long long)blockIdx.y * chunk, stop = min(start + chunk, rows);
  for (int begin = blockIdx.x * WARP; begin < columns; begin += gridDim.x * WARP) {
    int column = begin + threadIdx.x;
    real sum = over_column(x, start, stop, columns, column);
    if (threadIdx.y == 0 && column < columns)
      sums[(long long)blockIdx.y * columns + column] = sum * scale;
  }
}

// x: (rows, columns) -> y: (rows,), a team for each row.
extern "C" __global__ void __launch_bounds__(256) sum_rows(
    const real* x, real* y, int rows, long long columns, real scale) {
  for (int row = team(); row < rows; row += teams()) {
    real sum = 0;
    for (long long c = threadIdx.x; c < columns; c += blockDim.x) sum += x[row * columns + c];
    sum = over_team<Add>(sum, real(0));
    if (threadIdx.x == 0) y[row] = sum * scale;
  }
}

extern "C" __global__ void __launch_bounds__(256) max_rows(
    const real* x, real* y, int rows, long long columns) {
  for (int row = team(); row < rows; row += teams()) {
    real found = -infinite<real>();
    for (long long c = threadIdx.x; c < columns; c += blockDim.x)
      found = Largest::join(found, x[row * columns + c]);
    found = over_team<Largest>(found, -infinite<real>());
    if (threadIdx.x == 0) y[row] = found;
  }
}

// x: (n,) -> parts: a sum for each block.
extern "C" __global__ void __launch_bounds__(256) sum_parts(
    const real* x, double* parts, long long n) {
  double sum = 0;
  for (long long i = first(); i < n; i += stride()) sum += x[i];
  sum = over_block<Add>(sum, 0.0);
  if (thread() == 0) parts[blockIdx.x] = sum;
}

// The sum of a square of each element, for the norm.
extern "C" __global__ void __launch_bounds__(256) square_parts(
    const real* x, double* parts, long long n) {
  double sum = 0;
  for (long long i = first(); i < n; i += stride()) sum += (double)x[i] * x[i];
  sum = over_block<Add>(sum, 0.0);
  if (thread() == 0) parts[blockIdx.x] = sum;
}

// parts: (count,) -> total: (1,), by one block.
extern "C" __global__ void __launch_bounds__(256) join_parts(
    const double* parts, real* total, int count, double scale) {
  double sum = 0;
  for (int i = thread(); i < count; i += threads()) sum += parts[i];
  sum = over_block<Add>(sum, 0.0);
  if (thread() == 0) *total = sum * scale;
}

// The first column of the largest element of each row; NaN is the largest.
extern "C" __global__ void __launch_bounds__(256) argmax_rows(
    const real* x, int* y, int rows, int columns) {
  for (int row = team(); row < rows; row += teams()) {
    const real* at = x + (long long)row * columns;
    real found = -infinite<real>();
    for (int c = threadIdx.x; c < columns; c += blockDim.x) found = Largest::join(found, at[c]);
    found = over_team<Largest>(found, -infinite<real>());
    int place = columns;
    for (int c = threadIdx.x; c < columns && place == columns; c += blockDim.x)
      if (at[c] == found || (found != found && at[c] != at[c])) place = c;
    place = -over_team<Largest>(-place, -columns);
    if (threadIdx.x == 0) y[row] = place;
  }
}
