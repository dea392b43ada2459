# make            the daemon, ./wschat
# make check      every test; ends with "N passed, N failed, N skipped"
# make deps       installs what the two need, from Debian's packages
# make install    into $(DESTDIR)$(PREFIX); make uninstall takes it out again
# make echo       build/echo, an echo server for protocol test suites
# make bench      what relaying costs; tests/bench/run has the choices
# make microbench how fast the parsers are; needs libbenchmark-dev, and compares
#                 with simdjson where libsimdjson-dev is
# make fuzz       each fuzz target for FUZZ_SECONDS, with clang++
# make format     lays out the sources with clang-format
# make clean
#
# SANITIZE=address,undefined builds everything once more in a directory of its
# own, the daemon too; without it the daemon is ./wschat. liburing is taken
# where it is installed; URING= builds without it.

# The user's: add to them or replace them, the project's own are further down.
CXX ?= g++
CXXFLAGS ?= -O2 -g
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 20

goals := $(or $(MAKECMDGOALS),all)
first := $(filter clean deps,$(goals))
rest := $(filter-out clean deps,$(goals))

.PHONY: all bench check clean deps echo format fuzz install microbench \
	uninstall FORCE
.DELETE_ON_ERROR:
.SECONDARY:
all:
FORCE:

# Prints the packages that are needed and not there. The compiler knows best.
probe = $(CXX) --version >/dev/null 2>&1 || \
	  echo $(if $(findstring clang,$(CXX)),clang,g++); \
	for need in openssl/sha.h:libssl-dev zlib.h:zlib1g-dev liburing.h:liburing-dev \
	    doctest/doctest.h:doctest-dev; do \
	  echo "\#include <$${need%:*}>" | \
	    $(CXX) $(CPPFLAGS) $(CXXFLAGS) -E -x c++ - >/dev/null 2>&1 || \
	    echo $${need\#*:}; \
	done

clean:
	rm -rf build wschat

deps:
	@rm -f build/config.mk
	@missing=$$($(probe)); \
	if test -z "$$missing"; then echo "deps: nothing is missing"; exit; fi; \
	echo "deps: installing" $$missing; \
	test "$$(id -u)" = 0 || sudo=sudo; \
	$$sudo apt-get -qq update; \
	$$sudo env DEBIAN_FRONTEND=noninteractive \
	  apt-get -qq --no-install-recommends install $$missing \
	  </dev/null >/dev/null

man := "$(DESTDIR)$(PREFIX)/share/man/man8/wschat.8"
unit := "$(DESTDIR)$(PREFIX)/lib/systemd/system/wschat.service"
bin := "$(DESTDIR)$(PREFIX)/bin/wschat"
script := "$(DESTDIR)$(PREFIX)/share/wschat/wschat.js"

uninstall:
	rm -f $(bin) $(man) $(unit) $(script)

ifneq ($(and $(first),$(rest)),)

# clean and deps change what the other goals stand on. So they go first, and
# the others get a make of their own, one for all of them, that looks anew.
.PHONY: rest $(rest)
rest: $(first)
	@$(MAKE) --no-print-directory $(rest)
$(rest): rest ;

else ifneq ($(filter-out clean deps uninstall,$(goals)),)

include build/config.mk

# What was missing may be there by now: then look again, once a run.
build/config.mk: Makefile $(if $(missing),$(if $(MAKE_RESTARTS),,FORCE))
	@mkdir -p $(@D)
	@echo missing := $$($(probe)) >$@

# One line that says what to do, before there is a page of compiler errors.
.PHONY: can-build can-check can-microbench
require = $(if $(filter $1,$(missing)),$(error \
	not installed: $(filter $1,$(missing)) (make deps)))
needed := g++ clang libssl-dev zlib1g-dev
can-build: ; $(call require,$(needed))
can-check: ; $(call require,$(needed) doctest-dev)

# Compilers and sanitizers never share an object.
comma := ,
space := $(subst ,, )
build := build/$(subst $(space),-,$(notdir $(strip $(CXX) \
	$(subst $(comma), ,$(SANITIZE)))))

URING ?= $(if $(filter liburing-dev,$(missing)),,1)
ifneq ($(URING),)
uring_flags := -DWSCHAT_URING
uring_libs := -luring
endif

ifdef SANITIZE
harden := -fsanitize=$(SANITIZE) -fno-sanitize-recover=all \
	-fno-omit-frame-pointer -D_GLIBCXX_ASSERTIONS
# What it instruments, g++ takes for uninitialised.
ifeq ($(findstring clang,$(CXX)),)
harden += -Wno-maybe-uninitialized
endif
else
harden := -fstack-protector-strong
# Without optimisation, glibc warns about it.
ifneq ($(filter-out -O0,$(lastword $(filter -O%,$(CXXFLAGS)))),)
harden += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif
endif

compile = $(CXX) -std=c++17 -Wall -Wextra -Wpedantic -Wshadow -Wconversion \
	-fPIE $(harden) -Isrc -Itests $(uring_flags) $(CPPFLAGS) $(CXXFLAGS)
link = $(CXX) -pie -Wl,-z,relro,-z,now $(harden) $(CXXFLAGS) $(LDFLAGS)
libs := -lssl -lcrypto -lz $(uring_libs)

object = $(patsubst %.cpp,$(build)/%.o,$(wildcard $1))
unit_folders := $(patsubst src/%/,%,$(filter-out src/page/,$(wildcard src/*/)))
main := $(build)/src/main.o
units := $(filter-out $(main),$(call object,src/*.cpp src/*/*.cpp))
unit_tests := $(call object,tests/unit_main.cpp tests/test_*.cpp \
	tests/fixtures/*.cpp $(unit_folders:%=tests/%/*.cpp))
system_tests := $(call object,tests/system/*.cpp)
load := $(call object,$(addprefix tests/bench/,load.cpp load_clients.cpp \
	load_peer.cpp transcript.cpp))
fuzzers := $(patsubst tests/fuzz/fuzz_%.cpp,%,$(wildcard tests/fuzz/*.cpp))

$(build)/%.o: %.cpp $(build)/flags
	@mkdir -p $(@D)
	$(compile) -MMD -MP -c -o $@ $<

# It has the files in it.
$(build)/src/pages.o $(build)/src/http/assets.o: $(wildcard src/page/*)

# Other flags make other objects.
$(build)/flags: FORCE | can-build
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(compile) / $(link))' | cmp -s - $@ || \
	  echo '$(subst ','\'',$(compile) / $(link))' >$@

$(build)/wschat: $(main) $(units)
$(build)/echo: $(build)/tests/echo.o $(units)
$(build)/unit-tests: $(unit_tests) $(units)
$(build)/load: $(load) $(units)
$(build)/naive: $(build)/tests/bench/naive.o $(units)
$(build)/system-tests: $(system_tests) $(units)
$(unit_tests) $(system_tests): | can-check
$(build)/wschat $(build)/echo $(build)/unit-tests $(build)/system-tests \
$(build)/load $(build)/naive:
	$(link) -o $@ $^ $(libs)

# The ordinary daemon and echo server stand where people look for them,
# whichever compiler made them last.
ifdef SANITIZE
daemon := $(build)/wschat
echo := $(build)/echo
else
daemon := wschat
echo := build/echo
wschat: $(build)/wschat FORCE
build/echo: $(build)/echo FORCE
wschat build/echo:
	@test $< -ef $@ || ln -f $< $@
endif

all: $(daemon)
echo: $(echo)

check: can-check $(daemon) $(echo) $(build)/unit-tests $(build)/system-tests
	@CXX="$(CXX)" WSCHAT=./$(daemon) WSCHAT_ECHO=./$(echo) \
	  tests/run $(build)/unit-tests $(build)/system-tests

bench: $(daemon) $(build)/load $(build)/naive
	@WSCHAT=./$(daemon) tests/bench/run $(build)/load $(build)/naive

install: $(daemon)
	install -D -m 755 $(daemon) $(bin)
	install -D -m 644 man/wschat.8 $(man)
	install -D -m 644 src/page/wschat.js $(script)
	sed 's|@PREFIX@|$(PREFIX)|' contrib/wschat.service | \
	  install -D -m 644 /dev/stdin $(unit)

fuzz:
	$(if $(shell command -v clang++),,$(error not installed: clang))
	@$(MAKE) --no-print-directory CXX=clang++ \
	  SANITIZE=fuzzer-no-link,address,undefined $(fuzzers:%=fuzz-%)

fuzz-%: $(build)/fuzz-%
	@mkdir -p build/corpus/$*
	$< -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=build/ \
	  build/corpus/$* $(wildcard tests/fuzz/corpus/$*)

$(build)/fuzz-%: $(build)/tests/fuzz/fuzz_%.o $(units)
	$(link) -fsanitize=fuzzer -o $@ $^ $(libs)

# Prints $2 if the header $1 is there. Nothing else needs those that it is
# asked for, so `missing` does not name them.
has = echo "\#include <$1>" | \
	  $(CXX) $(CPPFLAGS) $(CXXFLAGS) -E -x c++ - >/dev/null 2>&1 && echo $2

microbench: $(build)/microbench
	$<

$(build)/microbench: $(build)/tests/bench/micro.o $(units)
	$(link) -o $@ $^ $(libs) -lbenchmark \
	  $(shell $(call has,simdjson.h,-lsimdjson))

$(build)/tests/bench/micro.o: | can-microbench
can-microbench: can-build
	$(if $(shell $(call has,benchmark/benchmark.h,1)),,$(error \
		not installed: libbenchmark-dev))

format:
	clang-format -i $$(find src tests -name '*.h' -o -name '*.cpp')

-include $(wildcard $(build)/*/*.d $(build)/*/*/*.d)

endif
