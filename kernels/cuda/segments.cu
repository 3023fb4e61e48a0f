// What else is done to flat segments. out may be the first input's memory. going: as for updates.

// p (1 - rate decay) on the first `decayed` elements.
extern "C" __global__ void __launch_bounds__(256) shrink(
    const real* p, real* out, long long n, double rate, const double* rate_at, double decay,
    long long decayed, const bool* going) {
  if (stopped(going)) return;
  real shrunk = 1 - number(rate, rate_at) * decay;
  for (long long i = first(); i < n; i += stride()) out[i] = i < decayed ? p[i] * shrunk : p[i];
}

// average + share (p - average); `kernels/momentum.py` says what the share of a step is.
extern "C" __global__ void __launch_bounds__(256) average(
    const real* before, const real* p, real* out, long long n, long long step,
    const long long* step_at, double decay, long long start, long long every, const bool* going) {
  if (stopped(going)) return;
  long long past = number(step, step_at) - start, taken = past / every;
  real share = 0;
  if (past > 0 && past % every == 0) share = decay > 0 && taken > 1 ? 1 - decay : 1.0 / taken;
  for (long long i = first(); i < n; i += stride())
    out[i] = before[i] + share * (p[i] - before[i]);
}

// base + factor (p - base) on [start, stop).
extern "C" __global__ void __launch_bounds__(256) retract(
    const real* p, const real* base, real* out, long long n, real factor, long long start,
    long long stop, const bool* going) {
  if (stopped(going)) return;
  for (long long i = first(); i < n; i += stride())
    out[i] = i >= start && i < stop ? base[i] + factor * (p[i] - base[i]) : p[i];
}

// gradient + coefficient p on [start, stop).
extern "C" __global__ void __launch_bounds__(256) add_scaled(
    const real* gradient, const real* p, real* out, long long n, real coefficient,
    long long start, long long stop, const bool* going) {
  if (stopped(going)) return;
  for (long long i = first(); i < n; i += stride())
    out[i] = i >= start && i < stop ? gradient[i] + coefficient * p[i] : gradient[i];
}

// The gradient, shortened so that its norm is at most `maximum`. squares: parts of the norm's
// square; each block adds them up in the same order.
extern "C" __global__ void __launch_bounds__(256) shorten(
    const real* gradient, const double* squares, real* out, long long n, int count,
    double maximum, const bool* going) {
  if (stopped(going)) return;
  double sum = 0;
  for (int i = thread(); i < count; i += threads()) sum += squares[i];
  sum = over_block<Add>(sum, 0.0);
  double share = maximum / (sqrt(sum) + 1e-6);
  real factor = share > 1 ? 1.0 : share;  // NaN stays
  for (long long i = first(); i < n; i += stride()) out[i] = gradient[i] * factor;
}

// out = x for the first `count` elements, else `rest`: a copy, or the first of a segment exchanged.
extern "C" __global__ void __launch_bounds__(256) exchange_first(
    const real* x, const real* rest, real* out, long long n, long long count, const bool* going) {
  if (stopped(going)) return;
  for (long long i = first(); i < n; i += stride()) out[i] = i < count ? x[i] : rest[i];
}
