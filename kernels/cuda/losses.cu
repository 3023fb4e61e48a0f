// Losses beside softmax. targets: like p; weights: one a row, or none; labels: one a row.

extern "C" __global__ void __launch_bounds__(256) label_gradient(
    const real* p, const int* labels, const real* weights, real* out, long long n, int columns) {
  for (long long i = first(); i < n; i += stride()) {
    long long row = i / columns;
    real one = i - row * columns == labels[row] ? p[i] - 1 : p[i];
    out[i] = weights ? one * weights[row] : one;
  }
}

// scale (p - t) times the row's weight: the derivative of two losses.
extern "C" __global__ void __launch_bounds__(256) scaled_difference(
    const real* p, const real* targets, const real* weights, real* out, long long n, int columns,
    real scale) {
  for (long long i = first(); i < n; i += stride()) {
    real one = scale * (p[i] - targets[i]);
    out[i] = weights ? one * weights[i / columns] : one;
  }
}

// Sigmoid, its weighted binary cross-entropy, and the gradient at z, in one pass. p may be the
// memory of z. parts, total, gradient, weights, bias: as for softmax.
extern "C" __global__ void __launch_bounds__(1024) sigmoid_binary_cross_entropy_all(
    const real* z, const real* bias, const real* targets, const real* weights, real* p,
    real* gradient, double* parts, real* total, long long n, int columns) {
  double loss = 0;
  for (long long i = first(); i < n; i += stride()) {
    real one = z[i] + (bias ? bias[i % columns] : 0);
    real target = targets[i], small = exp(-fabs(one));
    real share = (weights ? weights[i / columns] : real(1)) / columns;
    real likely = (one >= 0 ? real(1) : small) / (1 + small);
    real above = one != one || one > 0 ? one : real(0);
    loss += (above - one * target + log1p(small)) * share;
    p[i] = likely;
    if (gradient) gradient[i] = (likely - target) * share;
  }
  loss = over_block<Add>(loss, 0.0);
  if (thread() == 0) {
    if (gridDim.x == 1) *total = loss;
    else parts[blockIdx.x] = loss;
  }
}

// The weighted squared error of all rows, the mean over columns, and its gradient, in one pass.
extern "C" __global__ void __launch_bounds__(1024) squared_error_all(
    const real* p, const real* targets, const real* weights, real* gradient, double* parts,
    real* total, long long n, int columns) {
  double loss = 0;
#pragma unroll 1  // unrolled, it spills on some architectures
  for (long long i = first(); i < n; i += stride()) {
    real off = p[i] - targets[i];
    real share = (weights ? weights[i / columns] : real(1)) / columns;
    loss += off * off * share;
    if (gradient) gradient[i] = 2 * off * share;
  }
  loss = over_block<Add>(loss, 0.0);
  if (thread() == 0) {
    if (gridDim.x == 1) *total = loss;
    else parts[blockIdx.x] = loss;
  }
}

__device__ inline real kept(real p, real floor) { return p < floor ? floor : p > 1 ? 1 : p; }

// One loss a row, the mean over its columns: squared error, or binary cross-entropy of p.
extern "C" __global__ void __launch_bounds__(256) squared_error_rows(
    const real* p, const real* targets, const real* weights, real* out, int rows, int columns) {
  for (int row = team(); row < rows; row += teams()) {
    real sum = 0;
    for (int c = threadIdx.x; c < columns; c += blockDim.x) {
      long long at = (long long)row * columns + c;
      real off = p[at] - targets[at];
      sum += off * off;
    }
    sum = over_team<Add>(sum, real(0)) / columns;
    if (threadIdx.x == 0) out[row] = weights ? sum * weights[row] : sum;
  }
}

extern "C" __global__ void __launch_bounds__(256) binary_cross_entropy_rows(
    const real* p, const real* targets, const real* weights, real* out, int rows, int columns,
    real floor) {
  for (int row = team(); row < rows; row += teams()) {
    real sum = 0;
    for (int c = threadIdx.x; c < columns; c += blockDim.x) {
      long long at = (long long)row * columns + c;
      real yes = log(kept(p[at], floor)), no = log(kept(1 - p[at], floor));
      sum += -targets[at] * yes - (1 - targets[at]) * no;
    }
    sum = over_team<Add>(sum, real(0)) / columns;
    if (threadIdx.x == 0) out[row] = weights ? sum * weights[row] : sum;
  }
}

extern "C" __global__ void __launch_bounds__(256) cross_entropy_rows(
    const real* p, const int* labels, const real* weights, real* out, int rows, int columns,
    real floor) {
  for (long long row = first(); row < rows; row += stride()) {
    real loss = -log(kept(p[row * columns + labels[row]], floor));
    out[row] = weights ? loss * weights[row] : loss;
  }
}
