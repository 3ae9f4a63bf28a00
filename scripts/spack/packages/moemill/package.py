# spack repo add scripts/spack && spack dev-build moemill@main      (from the top of the checkout; ~scripts: without Python)
from spack.package import *


class Moemill(CMakePackage):
    """Bulk text generation with Mixture-of-Experts models under MPI: prompts in HDF5, outputs in HDF5."""

    license("Apache-2.0")

    version("main")

    variant("tests", default=False, description="Build the unit tests")

    variant("scripts", default=True, description="What the Python scripts around a job need")
    variant("parquet", default=False, when="+scripts", description="Parquet and datasets folders in these scripts")

    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("ninja", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("mpi@3:")
    depends_on("hdf5@1.10:1.14~mpi")
    depends_on("libyaml@0.2.5:")
    depends_on("boost@1.74:+program_options")
    depends_on("fmt@9:10")
    depends_on("spdlog@1.10:+fmt_external")
    depends_on("nlohmann-json@3.11:")
    depends_on("pcre2@10.42:+jit")
    depends_on("utf8proc@2.8:")
    depends_on("random123@1.14:", type="build")
    depends_on("openssl@3:")
    depends_on("xxhash@0.8:", type="build")
    depends_on("doctest@2.4.9:", when="+tests", type="build")

    with when("+scripts"):
        depends_on("python@3.9:", type="run")
        depends_on("py-h5py@3.5: ~mpi", type="run")
        depends_on("py-numpy", type="run")
        depends_on("py-jinja2", type="run")
        depends_on("py-tqdm", type="run")
        depends_on("py-matplotlib", type="run")
        depends_on("py-zstandard", type="run")
    depends_on("py-pyarrow+parquet+dataset", when="+parquet", type="run")

    conflicts("%gcc@:11", msg="C++20 as GCC 12 knows it")
    conflicts("%clang@:13", msg="C++20 as Clang 14 knows it")
    requires("target=x86_64:", msg="its vector bodies are x86-64's")

    generator("ninja")

    def cmake_args(self):
        return [self.define_from_variant("MOEMILL_TESTS", "tests"), self.define("CMAKE_BUILD_TYPE", "RelWithDebInfo")]
