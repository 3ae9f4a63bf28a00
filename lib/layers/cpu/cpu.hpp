// The CPU as a backend: the types that layers/forward and layers/block are made of. A second backend is a structure of
// the same names, overloads of the kernels in kernels/rows.hpp for its stream, and a file as forward_cpu.cpp.
#pragma once

#include "base/buffer.hpp"
#include "kernels/cpu/stream.hpp"
#include "kernels/gemm.hpp"
#include "layers/cpu/attention/attention.hpp"
#include "layers/cpu/attention/kv_cache.hpp"
#include "layers/cpu/exchange.hpp"
#include "layers/cpu/experts.hpp"
#include "layers/cpu/head.hpp"
#include "layers/cpu/router.hpp"
#include "layers/forward.hpp"
#include "sample/cpu/sampler.hpp"

namespace moemill {

struct Cpu {
  using Space = Host;
  template <class T>
  using Buffer = moemill::Buffer<T, Space>;
  using Stream = cpu::Stream;
  using Matrix = cpu::Matrix;
  using KvCache = cpu::KvCache;
  using LatentAttention = cpu::LatentAttention;
  using GroupedAttention = cpu::GroupedAttention;
  using Attention = cpu::Attention;  // one of the two
  using Router = cpu::Router;
  using Experts = cpu::Experts;
  using Exchange = cpu::Exchange;
  using Head = cpu::Head;
  using Sampler = cpu::Sampler;
};

namespace layers {
extern template class Forward<Cpu>;
}  // namespace layers

}  // namespace moemill
