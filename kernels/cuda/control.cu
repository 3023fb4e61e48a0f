// What a captured step asks beside its numbers: what the run adds up, and whether it goes on.

// totals[k] += values[k] factors[k] for each sum of the step, and totals[count] += factors[count];
// then `going` is no where one of those watched (bits) is not finite. Nothing is added after that.
extern "C" __global__ void __launch_bounds__(32) add_up(
    const real* first, const real* second, const real* third, const real* fourth, int count,
    unsigned watched, const double* factors, double* totals, bool* going) {
  if (threadIdx.x || !*going) return;
  const real* const values[] = {first, second, third, fourth};
  bool fine = true;
  for (int k = 0; k < count; k++) {
    double value = *values[k];
    totals[k] += value * factors[k];
    if (watched >> k & 1) fine = fine && value - value == 0;
  }
  totals[count] += factors[count];
  *going = fine;
}

// `going` is no where the squared norm of a flat array, given in parts, is not below the limit.
extern "C" __global__ void __launch_bounds__(256) look_at_norm(
    const double* squares, int count, const double* limit, bool* going) {
  double sum = 0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) sum += squares[i];
  sum = over_block<Add>(sum, 0.0);
  if (threadIdx.x == 0 && !(sum < *limit)) *going = false;
}

// The same of a short array in one launch.
extern "C" __global__ void __launch_bounds__(1024) look_at_short(
    const real* x, long long n, const double* limit, bool* going) {
  double sum = 0;
  for (long long i = threadIdx.x; i < n; i += blockDim.x) sum += (double)x[i] * x[i];
  sum = over_block<Add>(sum, 0.0);
  if (threadIdx.x == 0 && !(sum < *limit)) *going = false;
}
