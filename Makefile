# wsrelayd: see "make help".
#
# Every variant (release, asan, tsan, cov, fuzz, plain for valgrind, profile for
# benchmarks) has its own object directory, so that they never mix.

VERSION = 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
# make predefines CC, so "?=" would never apply.
ifeq ($(origin CC),default)
CC = gcc
endif
WERROR ?= $(if $(CI),-Werror)
VARIANT ?= release
J ?= $(shell nproc)

WARNINGS = -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wvla $(WERROR)
PACKAGES = libevent_core libevent_extra libevent_pthreads inih jansson libsystemd
ALL_CPPFLAGS = -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -DDATADIR='"$(PREFIX)/share/wsrelayd"' \
	-DLIBEXECDIR='"$(PREFIX)/libexec/wsrelayd"' -Isrc $(CPPFLAGS)
# A release hides its memory; tests and benchmarks look into /proc/PID, which
# only root may then (see daemon_hide_memory).
ALL_CPPFLAGS += $(if $(filter-out release,$(VARIANT)),-DWSRELAY_DUMPABLE)
OPTIMISE_release = -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
OPTIMISE_profile = $(OPTIMISE_release)
OPTIMISE_plain = -O1 -g
OPTIMISE_asan = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=all
OPTIMISE_tsan = -O1 -g -fno-omit-frame-pointer -fsanitize=thread
OPTIMISE_cov = -O0 -g --coverage
OPTIMISE_fuzz = -O1 -g -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=all
LINK_release = -pie -Wl,-z,relro,-z,now
LINK_profile = $(LINK_release)
ALL_CFLAGS = -std=c11 -pthread -fno-strict-aliasing $(WARNINGS) \
	$(OPTIMISE_$(VARIANT)) $(CFLAGS)
ALL_LDFLAGS = -pthread $(OPTIMISE_$(VARIANT)) $(LINK_$(VARIANT)) $(LDFLAGS)
LIBS = $(shell pkg-config --libs $(PACKAGES)) -lmbedtls -lmbedx509 -lmbedcrypto

OUT = build/$(VARIANT)
LIB_SOURCES = $(filter-out src/ctl/%,$(wildcard src/*/*.c src/codec/*/*.c))
LIB_OBJECTS = $(LIB_SOURCES:src/%.c=$(OUT)/%.o)
LIB = $(OUT)/libwsrelay.a
CTL_OBJECTS = $(patsubst src/%.c,$(OUT)/%.o,$(wildcard src/ctl/*.c))
UNIT_SOURCES = $(wildcard tests/unit/test_*.c)
UNIT_TESTS = $(UNIT_SOURCES:tests/unit/%.c=$(OUT)/unit/%)
FUZZ_SOURCES = $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_SECONDS ?= 60

# A line for each thing that is built; V=1 prints the commands instead, make -s
# neither. The short options are make's first word.
SHORT_OPTIONS = $(filter-out --%,$(firstword $(MAKEFLAGS)))
ifeq ($(V),1)
Q =
SAY = @:
else
Q = @
SAY = @$(if $(findstring s,$(SHORT_OPTIONS)),:,printf '  %-4s %s\n')
endif

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

# --- build -----------------------------------------------------------------

.PHONY: all
all: | deps-build
	@$(MAKE) -j$(J) --no-print-directory binaries
	@ln -sf release/wsrelayd release/wsrelayctl build/

.PHONY: binaries
binaries: $(OUT)/wsrelayd $(OUT)/wsrelayctl $(OUT)/wsrelayd-exec $(OUT)/attach_only.o

deps-%:
	@scripts/deps $*

$(OUT)/wsrelayd: $(OUT)/main.o $(LIB)
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(OUT)/wsrelayctl: $(CTL_OBJECTS) $(LIB)
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# Between fork and exec of each program, so it is small and starts fast; no
# sanitizer can be linked statically.
$(OUT)/step.o: OPTIMISE_$(VARIANT) = -O2 -g
$(OUT)/wsrelayd-exec: $(OUT)/step.o
	$(SAY) LD $@
	$(Q)$(CC) -static $(LDFLAGS) -o $@ $<

# --attach alone, for machines without our libraries: without libsystemd, which
# cannot be linked statically, and without the daemon.
ATTACH_LIBS = -levent_extra -levent_pthreads -levent_core -linih -ljansson -lmbedtls -lmbedx509 \
	-lmbedcrypto
$(OUT)/static/wsrelayd: $(OUT)/attach_only.o $(LIB)
	@mkdir -p $(@D)
	$(CC) -static -no-pie -pthread $(LDFLAGS) -o $@ $^ $(ATTACH_LIBS)

.PHONY: attach
attach: | deps-build
	@$(MAKE) -j$(J) --no-print-directory build/release/static/wsrelayd
	@mkdir -p build/attach
	@ln -sf ../release/static/wsrelayd build/attach/wsrelayd

$(LIB): $(LIB_OBJECTS)
	@rm -f $@
	$(SAY) AR $@
	$(Q)ar rcs $@ $^

$(OUT)/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# What is built into the binary with .incbin.
$(OUT)/page/assets.o: $(wildcard src/page/assets/*)

# What names these folders is built again when PREFIX is another one.
$(OUT)/daemon/try.o $(OUT)/net/step.o: $(OUT)/prefix
$(OUT)/prefix: FORCE
	@mkdir -p $(@D)
	@echo '$(PREFIX)' | cmp -s - $@ || echo '$(PREFIX)' > $@
.PHONY: FORCE
FORCE:

-include $(LIB_OBJECTS:.o=.d) $(OUT)/main.d $(OUT)/step.d $(OUT)/attach_only.d $(CTL_OBJECTS:.o=.d)

# --- run -------------------------------------------------------------------

.PHONY: run
run: all | deps-run
	scripts/demo/run

# --- check -----------------------------------------------------------------

.PHONY: check check-unit check-e2e check-tls check-tsan check-valgrind \
	check-trixie check-systemd chaos check-oom
check: all | deps-test
	@$(MAKE) -j$(J) --no-print-directory VARIANT=asan unit-tests binaries
	@scripts/check-unit build/asan/unit
	scripts/check-e2e build/asan $(E2E)
	tests/chaos/run --build build/asan --seconds 20 --seed 1

check-unit: | deps-test
	@$(MAKE) -j$(J) --no-print-directory VARIANT=asan unit-tests
	@scripts/check-unit build/asan/unit

check-e2e: | deps-test
	@$(MAKE) -j$(J) --no-print-directory VARIANT=asan binaries
	scripts/check-e2e build/asan $(E2E)

# The same over TLS, where that makes sense: see tests/e2e/secure.py.
check-tls: | deps-test
	@$(MAKE) -j$(J) --no-print-directory VARIANT=asan binaries
	scripts/check-e2e --tls build/asan $(E2E)

check-tsan: | deps-test
	@$(MAKE) -j$(J) --no-print-directory VARIANT=tsan unit-tests binaries
	@scripts/check-unit build/tsan/unit
	scripts/check-e2e build/tsan $(E2E)

check-valgrind: | deps-valgrind
	@$(MAKE) -j$(J) --no-print-directory VARIANT=plain unit-tests binaries
	@RUNNER="valgrind -q --error-exitcode=1 --leak-check=full" \
		scripts/check-unit build/plain/unit
	WSRELAY_RUNNER="valgrind -q --error-exitcode=99 --leak-check=full" \
		scripts/check-e2e build/plain $(E2E)

# Random trials against a model: tests/chaos/README.md.
CHAOS_SECONDS ?= 60
CHAOS_SEED ?=
chaos: | deps-test
	@$(MAKE) -j$(J) --no-print-directory VARIANT=asan binaries
	tests/chaos/run --build build/asan --seconds $(CHAOS_SECONDS) \
		$(if $(CHAOS_SEED),--seed $(CHAOS_SEED)) $(CHAOS)

# Allocations fail, one after the other: tests/oom/README.md.
OOM_SECONDS ?= 60
check-oom: | deps-test
	@$(MAKE) -j$(J) --no-print-directory VARIANT=asan build/asan/oom/wsrelayd
	tests/oom/run --build build/asan/oom --seconds $(OOM_SECONDS) $(OOM)

# ASan's own malloc, and one in front of it that fails.
$(OUT)/oom/wsrelayd: $(OUT)/main.o $(OUT)/oom/fail.o $(LIB) | \
		$(OUT)/oom/wsrelayd-exec
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(OUT)/oom/wsrelayd-exec: $(OUT)/wsrelayd-exec
	@mkdir -p $(@D)
	@ln -sf ../wsrelayd-exec $@

$(OUT)/oom/fail.o: tests/oom/fail.c Makefile
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) -O1 -g -fno-builtin -c -o $@ $<

# Build and tests in Debian 13, with its mbedTLS 3.6.
check-trixie:
	scripts/check-trixie $(E2E)

# The service in a systemd that boots for it: tests/systemd/README.md.
check-systemd: | deps-build
	@$(MAKE) -j$(J) --no-print-directory PREFIX=/usr binaries
	scripts/check-systemd

# llhttp is compared with our parser; its C sources come from a package that
# Debian 13 has no more. It is compiled as it comes: without our warnings and
# sanitizers.
LLHTTP = /usr/share/llhttp
ifeq ($(wildcard $(LLHTTP)/llhttp.c),)
UNIT_TESTS := $(filter-out %/test_http_llhttp,$(UNIT_TESTS))
endif

.PHONY: unit-tests
unit-tests: $(UNIT_TESTS)

LLHTTP_INCLUDE = /usr/share/include/llhttp
LLHTTP_OBJECTS = $(OUT)/llhttp/llhttp.o $(OUT)/llhttp/api.o \
	$(OUT)/llhttp/http.o
$(OUT)/unit/test_http_llhttp: UNIT_EXTRA = $(LLHTTP_OBJECTS)
$(OUT)/unit/test_http_llhttp: $(LLHTTP_OBJECTS)
$(LLHTTP_OBJECTS): $(OUT)/llhttp/%.o: $(LLHTTP)/%.c
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) -I$(LLHTTP_INCLUDE) -DLLHTTP_STRICT_MODE=1 -O1 -g -w -c -o $@ $<

# Of wsrelayctl, which is in no library.
$(OUT)/unit/test_since $(OUT)/unit/test_cell: $(OUT)/unit/test_%: $(OUT)/ctl/%.o
$(OUT)/unit/test_since: UNIT_EXTRA = $(OUT)/ctl/since.o
$(OUT)/unit/test_cell: UNIT_EXTRA = $(OUT)/ctl/cell.o

# An allocation of theirs fails when they say so: tests/unit/no_memory.h.
NO_MEMORY = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc $(OUT)/no_memory.o

$(OUT)/no_memory.o: tests/unit/no_memory.c tests/unit/no_memory.h Makefile
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

# Time and what the kernel knows are as they say: tests/unit/end_support.h.
$(addprefix $(OUT)/unit/test_,ws_end ws_ping stream_end): UNIT_EXTRA = \
	-Wl,--wrap=clock_gettime,--wrap=conn_vanished,--wrap=conn_arrived_ago
$(OUT)/unit/test_stream_end: UNIT_EXTRA += -Wl,--wrap=proc_end_after

# The tests themselves compile four times as fast without optimisation.
UNIT_OPTIMISE = $(if $(filter asan tsan,$(VARIANT)),-O0)

$(OUT)/unit/%: tests/unit/%.c $(LIB) $(OUT)/no_memory.o
	@mkdir -p $(@D)
	$(SAY) CCLD $@
	$(Q)$(CC) $(ALL_CPPFLAGS) -Itests/unit -isystem $(LLHTTP_INCLUDE) $(ALL_CFLAGS) \
		-MMD -MP $(ALL_LDFLAGS) $(UNIT_OPTIMISE) -o $@ $< $(UNIT_EXTRA) \
		$(NO_MEMORY) \
		$(LIB) -lcmocka $(LIBS)

-include $(UNIT_TESTS:=.d)

# --- fuzz ------------------------------------------------------------------

.PHONY: fuzz fuzzers
fuzz: | deps-fuzz
	@$(MAKE) -j$(J) --no-print-directory VARIANT=fuzz CC=clang fuzzers
	scripts/fuzz build/fuzz/fuzz $(FUZZ_SECONDS) $(FUZZ)

fuzzers: $(FUZZ_SOURCES:tests/fuzz/%.c=$(OUT)/fuzz/%)

$(OUT)/fuzz/%: tests/fuzz/%.c $(LIB)
	@mkdir -p $(@D)
	$(SAY) CCLD $@
	$(Q)$(CC) $(ALL_CPPFLAGS) -Itests/fuzz $(ALL_CFLAGS) -fsanitize=fuzzer \
		$(ALL_LDFLAGS) -o $@ $< $(LIB) $(LIBS)

# --- quality ---------------------------------------------------------------

.PHONY: lint format format-check cov bench compile_commands.json
lint: | deps-lint deps-test
	scripts/lint

C_FILES = $(shell git ls-files '*.c' '*.h' 2>/dev/null)
format:
	clang-format -i $(C_FILES)

format-check:
	clang-format --dry-run -Werror $(C_FILES)

cov: | deps-test
	@$(MAKE) -j$(J) --no-print-directory VARIANT=cov unit-tests binaries
	@scripts/check-unit build/cov/unit
	scripts/check-e2e build/cov $(E2E)
	scripts/coverage build/cov

bench: | deps-bench
	@$(MAKE) -j$(J) --no-print-directory VARIANT=profile binaries
	tests/bench/run $(BENCH)

compile_commands.json:
	@scripts/compile-commands '$(ALL_CPPFLAGS) -std=c11' > $@

# --- install ---------------------------------------------------------------

.PHONY: install uninstall dist distcheck
install: all
	DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' scripts/install install

uninstall:
	DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' scripts/install uninstall

dist:
	@mkdir -p build
	git archive --prefix=wsrelayd-$(VERSION)/ -o build/wsrelayd-$(VERSION).tar.gz HEAD
	@echo build/wsrelayd-$(VERSION).tar.gz

distcheck: dist
	rm -rf build/distcheck && mkdir -p build/distcheck
	tar -xzf build/wsrelayd-$(VERSION).tar.gz -C build/distcheck
	$(MAKE) -C build/distcheck/wsrelayd-$(VERSION) all
	$(MAKE) -C build/distcheck/wsrelayd-$(VERSION) install \
		DESTDIR=$(CURDIR)/build/distcheck/root PREFIX=/usr
	build/distcheck/root/usr/sbin/wsrelayd --try cat -T | \
		grep -qx 'root = /usr/share/wsrelayd/try'
	$(MAKE) -C build/distcheck/wsrelayd-$(VERSION) uninstall \
		DESTDIR=$(CURDIR)/build/distcheck/root PREFIX=/usr
	test -z "$$(find build/distcheck/root -type f)"

.PHONY: clean help
clean:
	rm -rf build

help:
	@echo 'make                  build build/wsrelayd and build/wsrelayctl; V=1 shows'
	@echo '                      the commands'
	@echo 'make attach           build/attach/wsrelayd: --attach alone, one static file'
	@echo 'make run              build, and run the demo'
	@echo 'make check            unit and end-to-end tests under ASan and UBSan'
	@echo 'make check-unit       the unit tests alone'
	@echo 'make check-e2e        the end-to-end tests alone; E2E="-k name" chooses'
	@echo 'make check-tls        the end-to-end tests once more, over TLS'
	@echo 'make check-tsan       the tests under ThreadSanitizer'
	@echo 'make check-valgrind   the tests under valgrind'
	@echo 'make chaos            random trials against a model for CHAOS_SECONDS=60,'
	@echo '                      from CHAOS_SEED (random); CHAOS="--help" says more'
	@echo 'make check-oom        allocations fail one by one, for OOM_SECONDS=60;'
	@echo '                      OOM="--help" says more'
	@echo 'make check-trixie     build and tests in Debian 13 (mbedTLS 3.6); needs root'
	@echo 'make check-systemd    the service in a systemd that boots for it; needs root'
	@echo 'make fuzz             each fuzzer for FUZZ_SECONDS=60; FUZZ=name chooses'
	@echo 'make lint             static checks; each skips where its tool is absent'
	@echo 'make format           clang-format; format-check only looks'
	@echo 'make bench            the benchmarks; BENCH="--help" says more'
	@echo 'make cov              line coverage of the tests'
	@echo 'make compile_commands.json   for editors'
	@echo 'make install DESTDIR= PREFIX=/usr/local; make uninstall'
	@echo 'make dist, distcheck  a source archive, and a trial of it'
