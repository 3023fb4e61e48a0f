// What a captured step begins with, its numbers and its rows, and what it ends with: what the run
// adds up, and whether it goes on.

// Those of the step that is counters[0]: its row of the table, the counters as they are, and, where
// there is an order, with a line of `batch` for each step, the first `rows` of it of up to three
// columns of words, and the step's own shares. Who counts on does it later, so all blocks agree.
extern "C" __global__ void __launch_bounds__(256) begin_step(
    const long long* counters, const double* table, int columns, double* row, long long* now,
    const int* order, int batch, int rows, const unsigned* first_from, unsigned* first_to,
    int first_width, const unsigned* second_from, unsigned* second_to, int second_width,
    const unsigned* third_from, unsigned* third_to, int third_width, const unsigned* shares,
    unsigned* shares_to, int shares_width) {
  long long number = counters[0];
  if (blockIdx.x == 0) {
    for (int i = thread(); i < columns; i += threads()) row[i] = table[number * columns + i];
    if (thread() < 3) now[thread()] = counters[thread()];
  }
  if (!order) return;
  long long line = number * batch, count = rows;
  if (first_from) gather(first_from, order + line, first_to, count * first_width, first_width);
  if (second_from) gather(second_from, order + line, second_to, count * second_width, second_width);
  if (third_from) gather(third_from, order + line, third_to, count * third_width, third_width);
  if (shares)
    for (long long i = first(); i < count * shares_width; i += stride())
      shares_to[i] = shares[line * shares_width + i];
}

// totals[k] += values[k] factors[k] for each sum of the step, and totals[count] += factors[count].
// Then `going` is no where one of those watched (bits) is not finite, or where the squared norm of
// x is not below the limit. Where it was no before, nothing changes. x, factors: or none. The
// counters, or none, go on to the next step: by one, and by `trained` those of the training.
//
// Every block adds up a part of the norm. The last to arrive, by a counter that is 0 again behind
// it, adds the parts up in their order, whoever came when, and does the rest.
extern "C" __global__ void __launch_bounds__(256) judge(
    const real* first_value, const real* second_value, const real* third_value,
    const real* fourth_value, int count, unsigned watched, const double* factors, double* totals,
    bool* going, const real* x, long long n, const double* limit, double* parts,
    unsigned* arrived, long long* counters, int trained) {
  __shared__ bool last;
  double sum = 0;
  for (long long i = first(); i < n; i += stride()) sum += (double)x[i] * x[i];
  sum = over_block<Add>(sum, 0.0);
  if (thread() == 0) {
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
    for (int i = thread(); i < gridDim.x; i += threads()) sum += written[i];
    sum = over_block<Add>(sum, 0.0);
  }
  if (thread()) return;
  if (counters)
    for (int k = 0; k < 3; k++) counters[k] += k ? trained : 1;
  if (!*going) return;
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
