#!/bin/sh
# What an installed moemill needs to run on Debian 12, without compilers: called by both container recipes.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends openmpi-bin openssh-client libhdf5-103-1 libyaml-0-2 \
  libboost-program-options1.74.0 libfmt9 libspdlog1.10 libpcre2-8-0 libutf8proc2 libssl3 libxxhash0 \
  python3 python3-h5py python3-jinja2 python3-tqdm python3-matplotlib python3-zstandard
rm -rf /var/lib/apt/lists/*
