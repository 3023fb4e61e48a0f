// Threads of CUDA on one thread of the CPU: each is a fiber, which runs until it waits for others.
//
// Blocks run one after the other, and of a block one fiber at a time, in an order that a number
// gives. So a race shows as a wrong result in some orders, and a barrier that not all threads reach
// as an error. Shared memory is full of NaN when a block begins.
#include "device.h"

#include <setjmp.h>
#include <string.h>
#include <ucontext.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

Dim threadIdx, blockIdx, blockDim, gridDim;

namespace {
enum State { RUNS, AT_BLOCK, AT_WARP, DONE };
enum Fault { NONE, BARRIER, LANE, ALIGNMENT, SHARED };
const int FENCE = 256;
const int STACK = 1 << 16, WARP = 32;

struct Fiber {
  jmp_buf at;
  std::unique_ptr<char[]> stack;
  State state = DONE;
  unsigned mask = 0;
};

std::vector<Fiber> fibers;
jmp_buf scheduler;
int now, fault;
void (*body)(void**);
void** arguments;
unsigned long long slots[1024];
std::vector<unsigned char> dynamic;  // shared memory whose size a launch says, between fences
unsigned char* inside;

bool fenced(const unsigned char* from, const unsigned char* to) {
  return std::all_of(from, to, [](unsigned char one) { return one == 0xff; });
}

void wait(State state, unsigned mask) {
  fibers[now].state = state;
  fibers[now].mask = mask;
  if (!_setjmp(fibers[now].at)) _longjmp(scheduler, 1);
}

void live() {  // a fiber's stack serves later launches too
  for (;;) {
    body(arguments);
    wait(DONE, 0);
  }
}

void resume(int thread) {
  Fiber& fiber = fibers[thread];
  now = thread;
  if (_setjmp(scheduler)) return;
  if (fiber.stack) _longjmp(fiber.at, 1);
  fiber.stack.reset(new char[STACK]);
  ucontext_t context;
  getcontext(&context);
  context.uc_stack.ss_sp = fiber.stack.get();
  context.uc_stack.ss_size = STACK;
  makecontext(&context, live, 0);
  setcontext(&context);
}

// Lets those threads of a warp go on whose whole mask has arrived.
bool release_warp(int first, int threads) {
  int end = std::min(threads, first + WARP);
  unsigned exist = end - first == WARP ? ~0u : (1u << (end - first)) - 1;
  bool any = false;
  for (int i = first; i < end; i++) {
    if (fibers[i].state != AT_WARP) continue;
    unsigned mask = fibers[i].mask, here = 0;
    for (int j = first; j < end; j++)
      here |= unsigned(fibers[j].state == AT_WARP && fibers[j].mask == mask) << (j - first);
    if (here != (mask & exist)) continue;
    for (int j = first; j < end; j++)
      if (here >> (j - first) & 1) fibers[j].state = RUNS;
    any = true;
  }
  return any;
}

bool release_block(int threads) {
  for (int i = 0; i < threads; i++)
    if (fibers[i].state != AT_BLOCK) return false;
  for (int i = 0; i < threads; i++) fibers[i].state = RUNS;
  return true;
}

// One block. greedy: a warp runs as far as it can before the next one does.
bool run_block(int threads, std::vector<int>& warps, std::vector<int>& lanes, bool greedy,
               std::mt19937* shuffled) {
  for (int i = 0; i < threads; i++) fibers[i].state = RUNS;
  for (int done = 0; done < threads;) {
    if (shuffled) {
      std::shuffle(warps.begin(), warps.end(), *shuffled);
      std::shuffle(lanes.begin(), lanes.end(), *shuffled);
    }
    bool moved = false;
    for (int warp : warps) do {
        for (int lane : lanes) {
          int i = warp + lane;
          if (i >= threads || fibers[i].state != RUNS) continue;
          threadIdx = {i % blockDim.x, i / blockDim.x % blockDim.y,
                       i / (blockDim.x * blockDim.y)};
          resume(i);
          if (fault) return false;
          moved = true;
        }
      } while (greedy && release_warp(warp, threads));
    done = 0;
    for (int i = 0; i < threads; i++) done += fibers[i].state == DONE;
    for (int warp : warps) moved |= release_warp(warp, threads);
    if (done < threads && !moved && !release_block(threads)) {
      fault = BARRIER;
      return false;
    }
  }
  return true;
}
}  // namespace

void* shared_by_block() { return inside; }

void block_barrier() { wait(AT_BLOCK, 0); }

unsigned long long exchanged(unsigned mask, unsigned long long value, int source) {
  int warp = now & ~(WARP - 1);
  slots[now] = value;
  wait(AT_WARP, mask);
  unsigned long long found = slots[warp + (source & (WARP - 1))];
  if (!(mask >> (source & (WARP - 1)) & 1)) fault = LANE;
  wait(AT_WARP, mask);
  return found;
}

int lane() { return now & (WARP - 1); }

// An access that would fault comes next: the thread goes no further.
extern "C" void misaligned() {
  fault = ALIGNMENT;
  _longjmp(scheduler, 1);
}

// order: its bit 0 puts the last thread first, bit 1 is greedy; from 4 on blocks, warps and lanes
// are shuffled, by a seed that is the order.
extern "C" int launch(const unsigned* sizes, void (*kernel)(void**), void** given, unsigned order,
                      char* shared, long long shared_bytes) {
  body = kernel;
  arguments = given;
  gridDim = {sizes[0], sizes[1], sizes[2]};
  blockDim = {sizes[3], sizes[4], sizes[5]};
  fault = NONE;
  int threads = blockDim.x * blockDim.y * blockDim.z;
  if ((int)fibers.size() < threads) fibers.resize(threads);
  int asked = sizes[6];
  dynamic.assign(asked + 3 * FENCE, 0xff);
  inside = dynamic.data() + FENCE;
  inside += -(unsigned long long)inside % 16;
  std::vector<int> warps, lanes;
  for (int warp = 0; warp < threads; warp += WARP) warps.push_back(warp);
  for (int i = 0; i < WARP; i++) lanes.push_back(i);
  std::vector<unsigned> blocks(gridDim.x * gridDim.y * gridDim.z);
  for (unsigned i = 0; i < blocks.size(); i++) blocks[i] = i;
  std::mt19937 generator(order);
  if (order & 1) {
    std::reverse(warps.begin(), warps.end());
    std::reverse(lanes.begin(), lanes.end());
    std::reverse(blocks.begin(), blocks.end());
  }
  if (order > 3) std::shuffle(blocks.begin(), blocks.end(), generator);
  for (unsigned block : blocks) {
    blockIdx = {block % gridDim.x, block / gridDim.x % gridDim.y,
                block / (gridDim.x * gridDim.y)};
    memset(shared, 0xff, shared_bytes);
    memset(inside, 0xff, asked);
    if (!run_block(threads, warps, lanes, order & 2, order > 3 ? &generator : nullptr)) {
      fibers.clear();
      return fault;
    }
    if (!fenced(dynamic.data(), inside) ||
        !fenced(inside + asked, dynamic.data() + dynamic.size()))
      return SHARED;
  }
  return NONE;
}
