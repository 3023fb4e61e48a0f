// What a captured step asks beside its numbers: what the run adds up, and whether it goes on.

// totals[k] += values[k] factors[k] for each sum of the step, and totals[count] += factors[count].
// Then `going` is no where one of those watched (bits) is not finite, or where the squared norm of
// x is not below the limit. Where it was no before, nothing changes. x, factors: or none.
//
// Every block adds up a part of the norm. The last to arrive, by a counter that is 0 again behind
// it, adds the parts up in their order, whoever came when, and does the rest.
extern "C" __global__ void __launch_bounds__(256) judge(
    const real* first_value, const real* second_value, const real* third_value,
    const real* fourth_value, int count, unsigned watched, const double* factors, double* totals,
    bool* going, const real* x, long long n, const double* limit, double* parts,
    unsigned* arrived) {
  __shared__ bool last;
  double sum = 0;
  for (long long i = first(); i < n; i += stride()) sum += (double)x[i] * x[i];
  sum = over_block<Add>(sum, 0.0);
  if (threadIdx.x == 0) {
    last = true;
    if (gridDim.x > 1) {
      parts[blockIdx.x] = sum;
      __threadfence();  // the part is there before the block is counted
      last = atomicInc(arrived, gridDim.x - 1) == gridDim.x - 1;
    }
  }
  __syncthreads();  // all know whether the block is the last
  if (!last) return;
  if (gridDim.x > 1) {
    const volatile double* written = parts;
    sum = 0;
    for (int i = threadIdx.x; i < gridDim.x; i += blockDim.x) sum += written[i];
    sum = over_block<Add>(sum, 0.0);
  }
  if (threadIdx.x || !*going) return;
  const real* const values[] = {first_value, second_value, third_value, fourth_value};
  bool fine = !x || sum < *limit;
  for (int k = 0; k < count; k++) {
    double value = *values[k];
    totals[k] += value * factors[k];
    if (watched >> k & 1) fine = fine && value - value == 0;
  }
  if (factors) totals[count] += factors[count];
  *going = fine;
}
