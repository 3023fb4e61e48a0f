// What goes by numbers of rows and columns; that they are in range was looked at before.

// out[i] = x[indices[i]], rows of `width` words of 4 or 8 bytes.
extern "C" __global__ void __launch_bounds__(256) gather_words(
    const unsigned* x, const int* indices, unsigned* out, long long n, int width) {
  gather(x, indices, out, n, width);
}

extern "C" __global__ void __launch_bounds__(256) gather_long_words(
    const unsigned long long* x, const int* indices, unsigned long long* out, long long n,
    int width) {
  gather(x, indices, out, n, width);
}

// out[r] = the sum of the rows of x whose index is r, in their order: no element has two writers.
extern "C" __global__ void __launch_bounds__(256) scatter_rows(
    const real* x, const int* indices, real* out, long long n, int width, int count) {
  for (long long i = first(); i < n; i += stride()) {
    long long row = i / width, column = i - row * width;
    real sum = 0;
    for (int k = 0; k < count; k++)
      if (indices[k] == row) sum += x[(long long)k * width + column];
    out[i] = sum;
  }
}

extern "C" __global__ void __launch_bounds__(256) pick_columns(
    const real* x, const int* labels, real* out, int rows, int columns) {
  for (long long row = first(); row < rows; row += stride())
    out[row] = x[row * columns + labels[row]];
}

extern "C" __global__ void __launch_bounds__(256) one_hot_rows(
    const int* labels, real* out, long long n, int columns) {
  for (long long i = first(); i < n; i += stride())
    out[i] = i % columns == labels[i / columns] ? 1 : 0;
}
