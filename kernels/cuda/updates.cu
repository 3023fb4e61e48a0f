// Optimizer updates over the flat segments, in place or not. Numbers that change from step to step
// are doubles; what follows from them is computed once in each block. going: where it says no, the
// step is not taken, and nothing is written; none: it is.

// Each element of `count` arrays and its gradient through `step`; 16 bytes at once where all of
// the arrays are laid so.
template <int COUNT, class Step> __device__ void through(
    const real* const (&from)[COUNT], const real* gradient, real* const (&to)[COUNT], long long n,
    Step step) {
  bool wide = aligned(gradient);
  for (int k = 0; k < COUNT; k++) wide = wide && aligned(from[k]) && aligned(to[k]);
  long long packs = wide ? n / PACK : 0;
  // Rolled: a pack of each array is enough to keep in flight, and more of them spill registers.
#pragma unroll 1
  for (long long at = first(); at < packs; at += stride()) {
    Pack values[COUNT], slopes = load(gradient + at * PACK);
    for (int k = 0; k < COUNT; k++) values[k] = load(from[k] + at * PACK);
    for (int i = 0; i < PACK; i++) {
      real of[COUNT];
      for (int k = 0; k < COUNT; k++) of[k] = values[k].of[i];
      step(of, slopes.of[i], at * PACK + i);
      for (int k = 0; k < COUNT; k++) values[k].of[i] = of[k];
    }
    for (int k = 0; k < COUNT; k++) store(to[k] + at * PACK, values[k]);
  }
#pragma unroll 1
  for (long long i = packs * PACK + first(); i < n; i += stride()) {
    real of[COUNT];
    for (int k = 0; k < COUNT; k++) of[k] = from[k][i];
    step(of, gradient[i], i);
    for (int k = 0; k < COUNT; k++) to[k][i] = of[k];
  }
}

extern "C" __global__ void __launch_bounds__(256) sgd(
    const real* p, const real* gradient, real* p_to, long long n, double rate,
    const double* rate_at, const bool* going) {
  if (stopped(going)) return;
  const real* const from[] = {p};
  real* const to[] = {p_to};
  real size = number(rate, rate_at);
  through(from, gradient, to, n, [=](real* of, real g, long long) { of[0] -= size * g; });
}

extern "C" __global__ void __launch_bounds__(256) momentum(
    const real* p, const real* gradient, const real* velocity, real* p_to, real* velocity_to,
    long long n, double rate, const double* rate_at, real momentum, bool nesterov, const bool* going) {
  if (stopped(going)) return;
  const real* const from[] = {p, velocity};
  real* const to[] = {p_to, velocity_to};
  real size = number(rate, rate_at);
  through(from, gradient, to, n, [=](real* of, real g, long long) {
    of[1] = momentum * of[1] + g;
    of[0] -= size * (nesterov ? g + momentum * of[1] : of[1]);
  });
}

// RMSprop, with keep = rho and add = 1 - rho, and Adagrad, with both 1.
extern "C" __global__ void __launch_bounds__(256) rmsprop(
    const real* p, const real* gradient, const real* square, real* p_to, real* square_to,
    long long n, double rate, const double* rate_at, real keep, real add, real epsilon, const bool* going) {
  if (stopped(going)) return;
  const real* const from[] = {p, square};
  real* const to[] = {p_to, square_to};
  real size = number(rate, rate_at);
  through(from, gradient, to, n, [=](real* of, real g, long long) {
    of[1] = keep * of[1] + add * g * g;
    of[0] -= size * g / (sqrt(of[1]) + epsilon);
  });
}

// The factors of Adam's step: of the mean, and of the root of the mean square.
struct Corrections {
  double size, root;
};

__device__ Corrections corrections(double rate, long long step, double beta1, double beta2) {
  __shared__ double kept[2];  // of the mean, of the mean square
  if (thread() < 2) kept[thread()] = 1 - pow(thread() ? beta2 : beta1, (double)step);
  __syncthreads();  // both are there
  return {rate / kept[0], 1 / sqrt(kept[1])};
}

// Adam, and AdamW on the first `decayed` elements: there p (1 - rate decay) comes first.
extern "C" __global__ void __launch_bounds__(256) adam(
    const real* p, const real* gradient, const real* mean, const real* square, real* p_to,
    real* mean_to, real* square_to, long long n, double rate, const double* rate_at,
    long long step, const long long* step_at, double beta1, double beta2, double epsilon,
    double decay, long long decayed, const bool* going) {
  if (stopped(going)) return;
  const real* const from[] = {p, mean, square};
  real* const to[] = {p_to, mean_to, square_to};
  double now = number(rate, rate_at);
  Corrections factors = corrections(now, number(step, step_at), beta1, beta2);
  real keep1 = beta1, add1 = 1 - beta1, keep2 = beta2, add2 = 1 - beta2, small = epsilon;
  real size = factors.size, root = factors.root, shrunk = 1 - now * decay;
  through(from, gradient, to, n, [=](real* of, real g, long long i) {
    of[1] = keep1 * of[1] + add1 * g;
    of[2] = keep2 * of[2] + add2 * g * g;
    if (i < decayed) of[0] *= shrunk;
    of[0] -= size * of[1] / (sqrt(of[2]) * root + small);
  });
}

extern "C" __global__ void __launch_bounds__(256) amsgrad(
    const real* p, const real* gradient, const real* mean, const real* square,
    const real* largest, real* p_to, real* mean_to, real* square_to, real* largest_to,
    long long n, double rate, const double* rate_at, long long step, const long long* step_at,
    double beta1, double beta2, double epsilon, const bool* going) {
  if (stopped(going)) return;
  const real* const from[] = {p, mean, square, largest};
  real* const to[] = {p_to, mean_to, square_to, largest_to};
  Corrections factors =
      corrections(number(rate, rate_at), number(step, step_at), beta1, beta2);
  real keep1 = beta1, add1 = 1 - beta1, keep2 = beta2, add2 = 1 - beta2, small = epsilon;
  real size = factors.size, root = factors.root;
  through(from, gradient, to, n, [=](real* of, real g, long long) {
    of[1] = keep1 * of[1] + add1 * g;
    of[2] = keep2 * of[2] + add2 * g * g;
    of[3] = Largest::join(of[3], of[2]);
    of[0] -= size * of[1] / (sqrt(of[3]) * root + small);
  });
}

struct Multiply {
  template <class T> static __device__ T join(T a, T b) { return a * b; }
};

// `kernels/momentum.py` says what the momentum of a step is, and up to which step it is known.
__device__ inline double warmed(long long step, double beta1, double decay) {
  return beta1 * (1 - 0.5 * pow(0.96, step * decay));
}

extern "C" __global__ void __launch_bounds__(256) nadam(
    const real* p, const real* gradient, const real* mean, const real* square, real* p_to,
    real* mean_to, real* square_to, long long n, double rate, const double* rate_at,
    long long step, const long long* step_at, double beta1, double beta2, double epsilon,
    double decay, long long known, const bool* going) {
  if (stopped(going)) return;
  const real* const from[] = {p, mean, square};
  real* const to[] = {p_to, mean_to, square_to};
  long long at = number(step, step_at), place = at < known ? at : known;
  double size = number(rate, rate_at), product = 1;
  for (long long i = 1 + thread(); i <= place; i += threads())
    product *= warmed(i, beta1, decay);
  product = over_block<Multiply>(product, 1.0) * pow(beta1, (double)(at - place));
  double ahead = warmed(at + 1, beta1, decay);
  real of_gradient = size * ((1 - warmed(at, beta1, decay)) / (1 - product));
  real of_mean = size * (ahead / (1 - product * ahead));
  real root = corrections(size, at, beta1, beta2).root, small = epsilon;
  real keep1 = beta1, add1 = 1 - beta1, keep2 = beta2, add2 = 1 - beta2;
  through(from, gradient, to, n, [=](real* of, real g, long long) {
    of[1] = keep1 * of[1] + add1 * g;
    of[2] = keep2 * of[2] + add2 * g * g;
    of[0] -= (of_gradient * g + of_mean * of[1]) / (sqrt(of[2]) * root + small);
  });
}

extern "C" __global__ void __launch_bounds__(256) lion(
    const real* p, const real* gradient, const real* mean, real* p_to, real* mean_to,
    long long n, double rate, const double* rate_at, double beta1, double beta2, const bool* going) {
  if (stopped(going)) return;
  const real* const from[] = {p, mean};
  real* const to[] = {p_to, mean_to};
  real size = number(rate, rate_at);
  real keep1 = beta1, add1 = 1 - beta1, keep2 = beta2, add2 = 1 - beta2;
  through(from, gradient, to, n, [=](real* of, real g, long long) {
    real way = keep1 * of[1] + add1 * g;
    of[0] -= size * (way > 0 ? real(1) : way < 0 ? real(-1) : way);
    of[1] = keep2 * of[1] + add2 * g;
  });
}
