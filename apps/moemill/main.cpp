// moemill's commands by name, and the guard around them: the only place that ends the process.
#include <fmt/format.h>

#include <csignal>
#include <cstdio>

#include "base/error.hpp"
#include "base/log.hpp"
#include "commands.hpp"
#include "config/config.hpp"
#include "config/config_names.hpp"
#include "system/comm/agree.hpp"

namespace {

using moemill::ExitCode;
using moemill::app::Words;

struct Command {
  const char* name;
  const char* about;
  int (*body)(const Words&);
};

constexpr Command commands[] = {
    {"run", "generate: mpirun -n R moemill run -c run.yaml; rerun the same command to resume", moemill::app::run},
    {"validate", "check everything that can be known before a job starts: config, model, prompts, memory",
     moemill::app::validate},
    {"preview", "print the first prompts as text and token ids, with a short generation for each",
     moemill::app::preview},
    {"status", "report the progress of a run, during it or after it", moemill::app::status},
    {"verify", "prove that every row exists exactly once, and that the model generates what is written",
     moemill::app::verify},
    {"plan", "what work costs on other machines, and how well such predictions meet published figures",
     moemill::app::plan},
    {"bench", "micro-benchmarks with their share of the machine's peak", moemill::app::bench},
    {"version", "version, commit, compiler and libraries (also --version)", moemill::app::version},
};

void print_help() {
  fmt::print(
      "usage: moemill COMMAND [options]\n\nBulk generation with Mixture-of-Experts models: prompts.h5 in, "
      "outputs.h5 out.\n\ncommands\n");
  for (const Command& c : commands) fmt::print("  {:<10} {}\n", c.name, c.about);
  fmt::print(
      "\nmoemill COMMAND --help (or: moemill help COMMAND) prints a command's options with defaults, units\n"
      "and examples; moemill help run.yaml all keys of run.yaml, as a page of Markdown.\n\n"
      "a first run:\n"
      "  moemill validate --model /data/models/DeepSeek-V2-Lite -i prompts.h5\n"
      "  mpirun -n 32 moemill run --model /data/models/DeepSeek-V2-Lite -i prompts.h5\n"
      "  moemill status runs/prompts\n\n"
      "exit codes: 0 done, 1 internal or system error, 2 usage, config, model or input, 3 too many failed\n"
      "rows, 75 stopped early: run the same command again\n");
}

int run_command(std::string name, const Words& words) {
  if (name == "--version" || name == "-V") name = "version";
  std::vector<std::string> known;
  for (const Command& c : commands) {
    if (name == c.name) return c.body(words);
    known.push_back(c.name);
  }
  std::string nearest = moemill::mill::nearest_name(name, known);
  moemill::user_error("unknown command '{}'{}; see moemill --help", name,
                      nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest));
}

// `moemill help COMMAND [...]` is `moemill COMMAND [...] --help`.
int help(Words words) {
  if (words.empty()) return print_help(), 0;
  if (words[0] == "run.yaml") return fmt::print("{}", moemill::mill::keys_page()), 0;
  const std::string name = words[0];
  if (name == "help" || name.starts_with("-")) return print_help(), 0;
  words.erase(words.begin());
  words.push_back("--help");
  return run_command(name, words);
}

int dispatch(int argc, char** argv) {
  if (argc < 2) {
    print_help();
    return static_cast<int>(ExitCode::Usage);
  }
  const std::string name = argv[1];
  const Words words(argv + 2, argv + argc);
  if (name == "--help" || name == "-h" || name == "help") return help(words);
  return run_command(name, words);
}

int fail(const moemill::Failure& failure) {
  std::fflush(stdout);
  moemill::log::raw(fmt::format("moemill: {}: {}\n", failure.kind, failure.text));
  return static_cast<int>(failure.code);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a write beyond `ulimit -f` then fails with an error instead of a signal
  try {
    int code = dispatch(argc, argv);
    if (std::fflush(stdout) != 0 || std::ferror(stdout)) moemill::system_error("standard output cannot be written");
    return code;
  } catch (...) {
    return fail(moemill::describe_current_exception());
  }
}
