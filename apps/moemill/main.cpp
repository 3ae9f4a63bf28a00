// moemill's commands by name, and the guard around them: the only place that turns an exception into an exit code.
#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <new>

#include "base/error.hpp"
#include "base/log.hpp"
#include "commands.hpp"
#include "mill/agree.hpp"
#include "mill/config.hpp"

namespace {

using moemill::ExitCode;
using moemill::app::Words;

struct Command {
  const char* name;
  const char* about;
  int (*body)(const Words&);
};

constexpr Command commands[] = {
    {"run", "generate: mpirun -n R moemill run -c run.yaml; the same command again resumes", moemill::app::run},
    {"validate", "everything that can be known before a job starts: config, model, prompts, memory",
     moemill::app::validate},
    {"preview", "the first prompts as text and token ids, with a short generation of each", moemill::app::preview},
    {"status", "how far a run is, while it runs or after", moemill::app::status},
    {"verify", "prove that every row is there exactly once, and that the model says what is written",
     moemill::app::verify},
    {"bench", "micro-benchmarks with their share of the machine's peak", moemill::app::bench},
    {"version", "version, commit, compiler and libraries (also --version)", moemill::app::version},
};

void print_help() {
  fmt::print(
      "usage: moemill COMMAND [options]\n\nBulk generation with Mixture-of-Experts models: prompts.h5 in, "
      "outputs.h5 out.\n\ncommands\n");
  for (const Command& c : commands) fmt::print("  {:<10} {}\n", c.name, c.about);
  fmt::print(
      "\nmoemill COMMAND --help prints a command's options with defaults and units.\n"
      "exit codes: 0 done, 1 internal or system error, 2 usage, config, model or input, "
      "3 too many failed rows, 75 stopped early: run the same command again\n");
}

int dispatch(int argc, char** argv) {
  if (argc < 2) {
    print_help();
    return static_cast<int>(ExitCode::Usage);
  }
  std::string name = argv[1];
  if (name == "--help" || name == "-h" || name == "help") return print_help(), 0;
  if (name == "--version" || name == "-V") name = "version";
  std::vector<std::string> known;
  for (const Command& c : commands) {
    if (name == c.name) return c.body(Words(argv + 2, argv + argc));
    known.push_back(c.name);
  }
  std::string nearest = moemill::mill::nearest_name(name, known);
  moemill::user_error("unknown command '{}'{}; see moemill --help", name,
                      nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest));
}

int fail(ExitCode code, const char* kind, const char* text) {
  std::fflush(stdout);
  moemill::log::raw(fmt::format("moemill: {}: {}\n", kind, text));
  return static_cast<int>(code);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // beyond `ulimit -f` a write then fails, and the job ends with a message
  try {
    int code = dispatch(argc, argv);
    if (std::fflush(stdout) != 0 || std::ferror(stdout))
      return fail(ExitCode::Internal, "system error", "standard output cannot be written");
    return code;
  } catch (const moemill::mill::AgreedFailure& e) {
    return fail(e.code(), e.code() == ExitCode::Usage ? "error" : "failed", e.what());
  } catch (const moemill::UserError& e) {
    return fail(ExitCode::Usage, "error", e.what());
  } catch (const moemill::SystemError& e) {
    return fail(ExitCode::Internal, "system error", e.what());
  } catch (const std::bad_alloc&) {
    return fail(ExitCode::Internal, "system error", "out of memory");
  } catch (const std::exception& e) {
    return fail(ExitCode::Internal, "internal error", e.what());
  }
}
