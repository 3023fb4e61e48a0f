// Softmax and its like: a team for each row of (rows, columns). out may be the memory of an input.

extern "C" __global__ void __launch_bounds__(256) softmax_rows(
    const real* x, real* out, int rows, int columns, bool logarithm) {
  for (int row = team(); row < rows; row += teams()) {
    const real* at = x + (long long)row * columns;
    real largest = -infinite<real>(), sum = 0;
    for (int c = threadIdx.x; c < columns; c += blockDim.x)
      largest = Largest::join(largest, at[c]);
    largest = over_team<Largest>(largest, -infinite<real>());
    for (int c = threadIdx.x; c < columns; c += blockDim.x) sum += exp(at[c] - largest);
    sum = over_team<Add>(sum, real(0));
    real beside = log(sum);
    for (int c = threadIdx.x; c < columns; c += blockDim.x) {
      real shifted = at[c] - largest;
      out[(long long)row * columns + c] = logarithm ? shifted - beside : exp(shifted) / sum;
    }
  }
}

// y (g - sum(g y)), or for the logarithm g - exp(y) sum(g).
extern "C" __global__ void __launch_bounds__(256) softmax_rows_backward(
    const real* gradient, const real* y, real* out, int rows, int columns, bool logarithm) {
  for (int row = team(); row < rows; row += teams()) {
    long long start = (long long)row * columns;
    real sum = 0;
    for (int c = threadIdx.x; c < columns; c += blockDim.x) {
      real one = gradient[start + c];
      sum += logarithm ? one : one * y[start + c];
    }
    sum = over_team<Add>(sum, real(0));
    for (int c = threadIdx.x; c < columns; c += blockDim.x) {
      real one = gradient[start + c], value = y[start + c];
      out[start + c] = logarithm ? one - exp(value) * sum : value * (one - sum);
    }
  }
}

// Probabilities, the weighted cross-entropy of all rows, and the gradient at z, in one pass over
// the rows. p may be the memory of z. parts: a sum for each block; with one block, total instead.
// gradient: none where it is not wanted. weights: (rows,), or none. bias: (columns,), which z lacks
// so far, or none.
extern "C" __global__ void __launch_bounds__(1024) softmax_cross_entropy_rows(
    const real* z, const real* bias, const int* labels, const real* weights, real* p, real* gradient,
    double* parts, real* total, int rows, int columns) {
  double loss = 0;
  for (int row = team(); row < rows; row += teams()) {
    const real* at = z + (long long)row * columns;
    int label = labels[row];
    real weight = weights ? weights[row] : real(1);
    real largest = -infinite<real>(), sum = 0, own = 0;
    for (int c = threadIdx.x; c < columns; c += blockDim.x)
      largest = Largest::join(largest, at[c] + (bias ? bias[c] : 0));
    largest = over_team<Largest>(largest, -infinite<real>());
    for (int c = threadIdx.x; c < columns; c += blockDim.x)
      sum += exp(at[c] + (bias ? bias[c] : 0) - largest);
    sum = over_team<Add>(sum, real(0));
    real beside = log(sum);
    for (int c = threadIdx.x; c < columns; c += blockDim.x) {
      real likelihood = at[c] + (bias ? bias[c] : 0) - largest - beside;
      real one = exp(likelihood);
      if (c == label) own = -likelihood * weight;
      p[(long long)row * columns + c] = one;
      if (gradient)
        gradient[(long long)row * columns + c] = (c == label ? one - 1 : one) * weight;
    }
    loss += own;
  }
  loss = over_block<Add>(loss, 0.0);
  if (threadIdx.x == 0 && threadIdx.y == 0) {
    if (gridDim.x == 1) *total = loss;
    else parts[blockIdx.x] = loss;
  }
}
