// The chains over one of the including file's units. A unit is a type with a Sum, an Operand, their first values
// start() and operand(), and step(sum, operand), whose result depends on both.

// The chains are named variables, because an array behind asm barriers would live in memory. The barrier hides every
// result from the compiler, so that none can be merged or dropped.
template <class Unit>
void run_chains(std::size_t rounds) {
  const typename Unit::Operand x = Unit::operand();
  typename Unit::Sum a = Unit::start(), b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a, k = a, l = a;
  for (std::size_t round = 0; round < rounds; ++round) {
    a = Unit::step(a, x);
    b = Unit::step(b, x);
    c = Unit::step(c, x);
    d = Unit::step(d, x);
    e = Unit::step(e, x);
    f = Unit::step(f, x);
    g = Unit::step(g, x);
    h = Unit::step(h, x);
    i = Unit::step(i, x);
    j = Unit::step(j, x);
    k = Unit::step(k, x);
    l = Unit::step(l, x);
    asm volatile(""
                 : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h), "+v"(i), "+v"(j), "+v"(k),
                   "+v"(l));
  }
}
