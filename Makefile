# make            builds the daemon, ./wschat
# make check      runs the unit, system and client tests; ends with
#                 "N passed, N failed, N skipped"; make test is the same.
#                 .ci/run runs the others too: browsers, proxies, sanitizers
# make deps       installs the Debian packages that `make` and `make check` need
# make install    installs into $(DESTDIR)$(PREFIX); make uninstall removes it
# make echo       builds build/echo, an echo server for protocol test suites
# make bench      measures what relaying costs, and draws how that grows with
#                 the number of clients; options: see tests/bench/run
# make attack     builds build/attack, which attacks the daemon; tests/attack/run
#                 runs it
# make microbench measures the parsers; needs libbenchmark-dev, and compares
#                 with simdjson if libsimdjson-dev is installed
# make fuzz       runs each fuzz target for FUZZ_SECONDS; needs clang++
# make format     formats the sources with clang-format
# make clean      removes everything that make has built
#
# V=1 prints whole commands instead of one short line for each file.
# SANITIZE=address,undefined builds everything, the daemon too, in a directory
# of its own; without it the daemon is ./wschat. liburing is used if it is
# installed; URING= builds without it.

# The user may replace these. The project's own flags are further down. -g1 is
# enough for backtraces; CXXFLAGS="-O0 -g" suits a debugger.
CXX ?= g++
CXXFLAGS ?= -O2 -g1
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 20

goals := $(or $(MAKECMDGOALS),all)
first := $(filter clean deps,$(goals))
rest := $(filter-out clean deps,$(goals))

.PHONY: all attack bench check clean deps echo format fuzz install microbench \
	test uninstall FORCE
.DELETE_ON_ERROR:
.SECONDARY:
all:
FORCE:

# Use every core unless the user chose a number. While make reads this file, a
# -j from the environment or from a parent make is only visible to the shell;
# a -j on the command line overrides what is set here. No --output-sync, which
# would hold back what `make check` prints until its end.
ifeq ($(filter -j% --jobs% --jobserver%,$(shell echo "$$MAKEFLAGS")),)
MAKEFLAGS += -j$(or $(shell nproc),1)
endif

# A recipe line `$(call say,CXX x.o)` prints that; `$(quiet)command` runs
# without being printed. Under -n and -s only make itself decides what to print.
# The first word of MAKEFLAGS holds the options of one letter.
ifneq ($(V),1)
quiet := @
say = $(if $(findstring n,$(options))$(findstring s,$(options)),,@echo '$1')
options := $(filter-out --%,$(firstword -$(MAKEFLAGS)))
endif

# Prints the missing packages. The compiler knows best where headers are.
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

man7 := "$(DESTDIR)$(PREFIX)/share/man/man7/wschat.7"
man8 := "$(DESTDIR)$(PREFIX)/share/man/man8/wschat.8"
unit := "$(DESTDIR)$(PREFIX)/lib/systemd/system/wschat.service"
bin := "$(DESTDIR)$(PREFIX)/bin/wschat"
script := "$(DESTDIR)$(PREFIX)/share/wschat/wschat.js"
examples := "$(DESTDIR)$(PREFIX)/share/doc/wschat/examples"

uninstall:
	rm -f $(bin) $(man7) $(man8) $(unit) $(script)
	rm -rf $(examples)

ifneq ($(and $(first),$(rest)),)

# clean and deps change what the other goals depend on. So they run first, and a
# second make, which reads everything again, runs the others.
.PHONY: rest $(rest)
rest: $(first)
	@$(MAKE) --no-print-directory $(rest)
$(rest): rest ;

else ifneq ($(filter-out clean deps uninstall,$(goals)),)

include build/config.mk

# A package that was missing may be installed now: look again, once a run.
build/config.mk: Makefile $(if $(missing),$(if $(MAKE_RESTARTS),,FORCE))
	@mkdir -p $(@D)
	@echo missing := $$($(probe)) >$@

# Print one line that says what to do, instead of a page of compiler errors.
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
# g++ wrongly reports instrumented variables as uninitialised.
ifeq ($(findstring clang,$(CXX)),)
harden += -Wno-maybe-uninitialized
endif
else
harden := -fstack-protector-strong
# Without optimisation, glibc warns that it has no effect.
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
attack_objects := $(call object,tests/attack/*.cpp)
fuzzers := $(patsubst tests/fuzz/fuzz_%.cpp,%,$(wildcard tests/fuzz/*.cpp))

$(build)/%.o: %.cpp $(build)/flags
	@mkdir -p $(@D)
	$(call say,CXX $*.o)
	$(quiet)$(compile) -MMD -MP -c -o $@ $<

# The compiler puts these files into the object.
$(build)/src/http/assets.o: $(wildcard src/page/*)

# Everything is built again when the flags change.
$(build)/flags: FORCE | can-build
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(compile) / $(link))' | cmp -s - $@ || \
	  echo '$(subst ','\'',$(compile) / $(link))' >$@

$(build)/wschat: $(main) $(units)
$(build)/echo: $(build)/tests/echo.o $(units)
$(build)/unit-tests: $(unit_tests) $(units)
$(build)/load: $(load) $(units)
$(build)/naive: $(build)/tests/bench/naive.o $(units)
$(build)/attack: $(attack_objects) $(units)
$(build)/system-tests: $(system_tests) $(units)
$(unit_tests) $(system_tests): | can-check
$(build)/wschat $(build)/echo $(build)/unit-tests $(build)/system-tests \
$(build)/load $(build)/naive $(build)/attack:
	$(call say,LD $(@F))
	$(quiet)$(link) -o $@ $^ $(libs)

# People look for the ordinary programs in these places, whichever compiler
# built them last.
ifdef SANITIZE
daemon := $(build)/wschat
echo := $(build)/echo
attack := $(build)/attack
else
daemon := wschat
echo := build/echo
attack := build/attack
wschat: $(build)/wschat FORCE
build/echo: $(build)/echo FORCE
build/attack: $(build)/attack FORCE
wschat build/echo build/attack:
	@test $< -ef $@ || ln -f $< $@
endif

all: $(daemon)
echo: $(echo)
attack: $(attack)

test: check
check: can-check $(daemon) $(echo) $(build)/unit-tests $(build)/system-tests
	@CXX="$(CXX)" WSCHAT=./$(daemon) WSCHAT_ECHO=./$(echo) \
	  tests/run $(build)/unit-tests $(build)/system-tests

# Nothing else may run while the time of something is measured.
bench: | $(filter check test,$(goals))
microbench: | $(filter check test bench,$(goals))

bench: $(daemon) $(build)/load $(build)/naive
	@WSCHAT=./$(daemon) tests/bench/run $(build)/load $(build)/naive

install: $(daemon)
	install -D -s -m 755 $(daemon) $(bin)
	install -D -m 644 man/wschat.7 $(man7)
	install -D -m 644 man/wschat.8 $(man8)
	install -D -m 644 src/page/wschat.js $(script)
	install -d $(examples)
	install -m 644 contrib/* $(examples)
	sed 's|@PREFIX@|$(PREFIX)|' contrib/wschat.service | \
	  install -D -m 644 /dev/stdin $(unit)

fuzz:
	$(if $(shell command -v clang++),,$(error not installed: clang))
	@$(MAKE) --no-print-directory CXX=clang++ \
	  SANITIZE=fuzzer-no-link,address,undefined $(fuzzers:%=fuzz-%)

fuzz-%: $(build)/fuzz-%
	@mkdir -p build/corpus/$*
	$(call say,FUZZ $*)
	$(quiet)$< -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=build/ \
	  build/corpus/$* $(wildcard tests/fuzz/corpus/$*)

$(build)/fuzz-%: $(build)/tests/fuzz/fuzz_%.o $(units)
	$(call say,LD $(@F))
	$(quiet)$(link) -fsanitize=fuzzer -o $@ $^ $(libs)

# Prints $2 if the header $1 is installed. For headers that only one goal needs
# and that `missing` therefore does not name.
has = echo "\#include <$1>" | \
	  $(CXX) $(CPPFLAGS) $(CXXFLAGS) -E -x c++ - >/dev/null 2>&1 && echo $2

microbench: $(build)/microbench
	$(quiet)$<

$(build)/microbench: $(build)/tests/bench/micro.o $(units)
	$(call say,LD $(@F))
	$(quiet)$(link) -o $@ $^ $(libs) -lbenchmark \
	  $(shell $(call has,simdjson.h,-lsimdjson))

$(build)/tests/bench/micro.o: | can-microbench
can-microbench: can-build
	$(if $(shell $(call has,benchmark/benchmark.h,1)),,$(error \
		not installed: libbenchmark-dev))

format:
	clang-format -i $$(find src tests -name '*.h' -o -name '*.cpp')

-include $(wildcard $(build)/*/*.d $(build)/*/*/*.d)

endif
