// The stop file: which job it is for, and what is never removed.
#include "mill/stop_file.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "base/error.hpp"
#include "support/temp_dir.hpp"

using namespace moemill;
using namespace moemill::mill;
namespace fs = std::filesystem;

namespace {

struct Folder : test::TempDir {
  Folder() { fs::create_directory(run()); }
  std::string run() const { return path / "run"; }
};

void put(const fs::path& path, const std::string& text = "") { std::ofstream(path) << text; }

std::string refusal(const std::string& dir, const std::string& name) {
  try {
    StopFile file(dir, name);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("stop file: one that was made since the job began") {
  Folder folder;
  const fs::path path = folder.run() + "/stop";
  StopFile file(folder.run(), "stop");
  CHECK(!file.asks());
  put(path);
  CHECK(file.asks());
  file.remove_old();  // the job was asked to stop while it began, and must not miss that
  CHECK(fs::exists(path));
  CHECK(file.asks());
  CHECK(file.description() == path.string());
}

TEST_CASE("stop file: one that cannot be looked for does not ask") {
  Folder folder;
  StopFile file(folder.run(), "stop");
  const fs::path path = folder.run() + "/stop";
  fs::create_symlink("stop", path);  // links to itself, so stat fails
  CHECK(!file.asks());
  fs::remove(path);
  put(path);
  CHECK(file.asks());
}

TEST_CASE("stop file: one that has stopped an earlier job") {
  Folder folder;
  const fs::path path = folder.run() + "/stop";
  put(path, "enough for today\n");
  StopFile file(folder.run(), "stop");
  CHECK(!file.asks());
  SUBCASE("is removed") {
    file.remove_old();
    CHECK(!fs::exists(path));
    put(path);
    CHECK(file.asks());
  }
  SUBCASE("touched again, it asks again") {
    fs::last_write_time(path, fs::last_write_time(path) + std::chrono::seconds(1));
    CHECK(file.asks());
    file.remove_old();
    CHECK(fs::exists(path));
  }
}

TEST_CASE("stop file: one outside the run directory is never removed") {
  Folder folder;
  for (const std::string& name : {(folder.path / "all").string(), std::string("../all")}) {
    put(folder.path / "all", "please");
    StopFile file(folder.run(), name);
    CHECK(file.asks());
    file.remove_old();
    CHECK(file.asks());
    CHECK(file.description().find("outside the run directory: remove it") != std::string::npos);
    fs::remove(folder.path / "all");
    CHECK(!file.asks());
  }
}

TEST_CASE("stop file: whatever its path is called, it lies in the run directory or not") {
  Folder folder;
  for (const std::string& name : {folder.run() + "/stop", std::string("../run/./stop"), std::string("x/../stop")}) {
    put(folder.run() + "/stop");
    fs::create_directory(folder.run() + "/x");
    StopFile file(folder.run(), name);
    CHECK(!file.asks());
    file.remove_old();
    CHECK(!fs::exists(folder.run() + "/stop"));
  }
}

TEST_CASE("stop file: what would be lost is refused") {
  Folder folder;
  CHECK(refusal(folder.run(), "stop") == "");
  for (const char* name :
       {"run.json", "./run.lock", "outputs.h5", "shards", "shards/", "journal", "config.yaml", ".", ""})
    CHECK_MESSAGE(refusal(folder.run(), name).find("of the run itself") != std::string::npos, name);
  put(folder.run() + "/notes", std::string(2000, '.'));
  fs::create_directory(folder.run() + "/folder");
  for (const char* name : {"notes", "folder"})
    CHECK_MESSAGE(refusal(folder.run(), name).find("is a folder or holds more than a few words") != std::string::npos,
                  name);
  CHECK(fs::exists(folder.run() + "/notes"));
}
