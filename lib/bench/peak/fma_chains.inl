// The chains over the including file's instruction set: its Vector, splat(value) and multiply_add(a, b, c).

// The chains are named variables, because an array behind asm barriers would live in memory. The barrier hides every
// result from the compiler, so that none can be merged or dropped.
void run_chains(std::size_t rounds) {
  const Vector factor = splat(0.5f);
  Vector a = factor, b = factor, c = factor, d = factor, e = factor, f = factor, g = factor, h = factor, i = factor,
         j = factor, k = factor, l = factor;
  for (std::size_t round = 0; round < rounds; ++round) {
    a = multiply_add(a, factor, factor);
    b = multiply_add(b, factor, factor);
    c = multiply_add(c, factor, factor);
    d = multiply_add(d, factor, factor);
    e = multiply_add(e, factor, factor);
    f = multiply_add(f, factor, factor);
    g = multiply_add(g, factor, factor);
    h = multiply_add(h, factor, factor);
    i = multiply_add(i, factor, factor);
    j = multiply_add(j, factor, factor);
    k = multiply_add(k, factor, factor);
    l = multiply_add(l, factor, factor);
    asm volatile(""
                 : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h), "+v"(i), "+v"(j), "+v"(k),
                   "+v"(l));
  }
}
