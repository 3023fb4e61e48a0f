// One thread for each element, or for each row: what a first CUDA kernel looks like. For the story
// that the benchmark tells; nothing is trained with these.

extern "C" __global__ void __launch_bounds__(256) naive_product(
    const real* a, const real* b, real* c, int rows, int inner, int columns, bool transpose_a,
    bool transpose_b) {
  long long i = first();
  if (i >= (long long)rows * columns) return;
  int row = i / columns, column = i % columns;
  real sum = 0;
  for (int k = 0; k < inner; k++)
    sum += a[transpose_a ? (long long)k * rows + row : (long long)row * inner + k] *
           b[transpose_b ? (long long)column * inner + k : (long long)k * columns + column];
  c[i] = sum;
}

extern "C" __global__ void __launch_bounds__(256) naive_bias_activation(
    real* z, const real* bias, long long n, int columns, int activation, real alpha) {
  long long i = first();
  if (i < n) z[i] = activate(activation, alpha, bias ? z[i] + bias[i % columns] : z[i]);
}

extern "C" __global__ void __launch_bounds__(256) naive_activation_gradient(
    const real* gradient, const real* y, real* made, long long n, int activation, real alpha) {
  long long i = first();
  if (i < n) made[i] = activate_backward(activation, alpha, gradient[i], y[i]);
}

extern "C" __global__ void __launch_bounds__(256) naive_column_sums(
    const real* x, real* sums, int rows, int columns) {
  int column = first();
  if (column >= columns) return;
  real sum = 0;
  for (int row = 0; row < rows; row++) sum += x[(long long)row * columns + column];
  sums[column] = sum;
}

extern "C" __global__ void __launch_bounds__(256) naive_softmax_cross_entropy(
    const real* z, const int* labels, const real* weights, real* p, real* losses, int rows,
    int columns) {
  int row = first();
  if (row >= rows) return;
  const real* at = z + (long long)row * columns;
  real largest = at[0], sum = 0;
  for (int c = 1; c < columns; c++) largest = Largest::join(largest, at[c]);
  for (int c = 0; c < columns; c++) sum += exp(at[c] - largest);
  real beside = log(sum), loss = -(at[labels[row]] - largest - beside);
  losses[row] = weights ? loss * weights[row] : loss;
  for (int c = 0; c < columns; c++)
    p[(long long)row * columns + c] = exp(at[c] - largest - beside);
}

extern "C" __global__ void naive_sum(const real* x, real* total, long long n) {
  real sum = 0;
  for (long long i = 0; i < n; i++) sum += x[i];
  *total = sum;
}

extern "C" __global__ void __launch_bounds__(256) naive_adam(
    real* p, const real* gradient, real* mean, real* square, long long n, double rate,
    const double* rate_at, long long step, const long long* step_at, double beta1, double beta2,
    double epsilon) {
  long long i = first();
  if (i >= n) return;
  double at = (double)number(step, step_at);
  real size = number(rate, rate_at) / (1 - pow(beta1, at)), root = 1 / sqrt(1 - pow(beta2, at));
  mean[i] = (real)beta1 * mean[i] + (real)(1 - beta1) * gradient[i];
  square[i] = (real)beta2 * square[i] + (real)(1 - beta2) * gradient[i] * gradient[i];
  p[i] -= size * mean[i] / (sqrt(square[i]) * root + (real)epsilon);
}
