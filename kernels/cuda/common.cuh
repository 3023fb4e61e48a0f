// What all kernels share. REAL is float or double: each is a compilation of its own.
typedef REAL real;
typedef unsigned long long word64;

enum { WARP = 32, PACK = 16 / sizeof(real) };

template <class T> __device__ T infinite();
template <> __device__ inline float infinite<float>() { return __int_as_float(0x7f800000); }
template <> __device__ inline double infinite<double>() {
  return __longlong_as_double(0x7ff0000000000000ll);
}
template <class T> __device__ T not_a_number();
template <> __device__ inline float not_a_number<float>() { return __int_as_float(0x7fc00000); }
template <> __device__ inline double not_a_number<double>() {
  return __longlong_as_double(0x7ff8000000000000ll);
}

// A number of the step: of the host, or, in a captured step, one that lies on the device.
template <class T> __device__ T number(T given, const T* at) { return at ? *at : given; }

// Whether a step is not to be taken: a flag on the device, if there is one, says no.
__device__ inline bool stopped(const bool* going) { return going && !*going; }

// The number of a thread in its block, and how many threads that has.
__device__ inline int thread() { return threadIdx.y * blockDim.x + threadIdx.x; }
__device__ inline int threads() { return blockDim.x * blockDim.y; }

// How two numbers become one. Each is commutative to the bit, so all lanes of a warp agree.
struct Add {
  template <class T> static __device__ T join(T a, T b) { return a + b; }
};
struct Largest {  // NaN wins
  template <class T> static __device__ T join(T a, T b) {
    return a != a ? a : b != b ? b : a > b ? a : b;
  }
};

// A number of each lane joined over the warp, in the same order always; every lane gets it.
template <class Join, class T> __device__ T over_warp(T value) {
  for (int offset = WARP / 2; offset; offset /= 2)
    value = Join::join(value, __shfl_xor_sync(0xffffffffu, value, offset));
  return value;
}

__device__ double* parts_of_warps() {
  __shared__ double parts[WARP];
  return parts;
}

// The same over the block, whose threads are a multiple of a warp; all of them must get here.
template <class Join, class T> __device__ T over_block(T value, T nothing) {
  T* parts = reinterpret_cast<T*>(parts_of_warps());
  int thread = threadIdx.y * blockDim.x + threadIdx.x;
  int warps = blockDim.x * blockDim.y / WARP;
  value = over_warp<Join>(value);
  if (thread % WARP == 0) parts[thread / WARP] = value;
  __syncthreads();  // every part is there
  value = over_warp<Join>(thread % WARP < warps ? parts[thread % WARP] : nothing);
  __syncthreads();  // every part was read: the next reduction may write
  return value;
}

// A team works on one row: the threads of one threadIdx.y. It is a warp, or the whole block.
__device__ inline int team() { return blockIdx.x * blockDim.y + threadIdx.y; }
__device__ inline int teams() { return gridDim.x * blockDim.y; }
template <class Join, class T> __device__ T over_team(T value, T nothing) {
  return blockDim.x == WARP ? over_warp<Join>(value) : over_block<Join>(value, nothing);
}

__device__ double* parts_of_columns() {
  __shared__ double parts[8 * WARP];
  return parts;
}

// The sum of a column of x, rows start to stop - 1, by a block of 8 rows of 32 threads: each row of
// threads takes every eighth. All threads must get here; the first row of them gets the sum.
template <class T> __device__ T over_column(
    const T* x, long long start, long long stop, int columns, int column) {
  T* parts = reinterpret_cast<T*>(parts_of_columns());
  T sum = 0;
  if (column < columns)
    for (long long row = start + threadIdx.y; row < stop; row += 8)
      sum += x[row * columns + column];
  parts[threadIdx.y * WARP + threadIdx.x] = sum;
  __syncthreads();  // every row of threads has its part
  if (threadIdx.y == 0)
    for (int i = 1; i < 8; i++) sum += parts[i * WARP + threadIdx.x];
  __syncthreads();  // they were read: the next sum may write
  return sum;
}

// Elements of a flat array that a thread takes: every so many of them. Kernels that ask for them are
// launched with one row of threads, and keep fewer numbers so; what is written down has several.
#ifdef WRITTEN_DOWN
__device__ inline long long first() { return thread(); }
__device__ inline long long stride() { return threads(); }
#else
__device__ inline long long first() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline long long stride() { return (long long)gridDim.x * blockDim.x; }
#endif

// to[i] = from[rows[i]], rows of `width` words; n: of the words that are written.
template <class Word> __device__ void gather(
    const Word* from, const int* rows, Word* to, long long n, int width) {
  for (long long i = first(); i < n; i += stride()) {
    long long row = i / width;
    to[i] = from[(long long)rows[row] * width + (i - row * width)];
  }
}

// 16 bytes of numbers, which are loaded and stored at once: as a vector, for the compiler makes one
// access of nothing else.
template <class T> struct Vector;
template <> struct Vector<float> {
  typedef float4 type;
};
template <> struct Vector<double> {
  typedef double2 type;
};
union Pack {
  Vector<real>::type vector;
  real of[PACK];
};
__device__ inline Pack load(const real* at) {
  const Vector<real>::type& from = *reinterpret_cast<const Vector<real>::type*>(at);
  Pack made;
  made.vector = from;
  return made;
}
__device__ inline void store(real* at, const Pack& some) {
  Vector<real>::type& to = *reinterpret_cast<Vector<real>::type*>(at);
  to = some.vector;
}
__device__ inline bool aligned(const void* at) {
  return !(reinterpret_cast<word64>(at) % sizeof(Pack));
}
