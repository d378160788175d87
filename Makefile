# SPDX-License-Identifier: GPL-2.0-only
# masqbpf: one Makefile. `make help` lists the targets.
# CC CLANG BPFTOOL PKG_CONFIG CFLAGS CPPFLAGS LDFLAGS SYSROOT PREFIX UNITDIR
# DESTDIR O V WERROR are the user's; ours are added to them.
VERSION := 0.1.0
O ?= $(if $(filter 1,$(SANITIZE)),build/asan,build)
PREFIX ?= /usr/local
UNITDIR ?= $(PREFIX)/lib/systemd/system
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
PKG_CONFIG ?= pkg-config
CFLAGS ?= -O2 -g
# a root of another architecture, whose headers and libraries are meant
SYSROOT ?=
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-8s%s\n' '$(1)' '$(2)')

PKGS := libbpf yaml-0.1 jansson libmnl libmicrohttpd ncursesw libcap-ng libseccomp
MISSING := $(shell for p in $(PKGS); do $(PKG_CONFIG) --exists $$p || echo $$p; done)
ifneq ($(MISSING),)
ifeq ($(filter help clean,$(MAKECMDGOALS)),)
$(error missing development files (pkg-config): $(MISSING); scripts/deps.sh installs them)
endif
endif
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
PKG_LIBS := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null)

# SANITIZE=1: a build for tests and fuzzers, in a folder of its own
ifeq ($(SANITIZE),1)
CC := $(CLANG)
SAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer -U_FORTIFY_SOURCE
SAN_CFLAGS := $(SAN) -fsanitize=fuzzer-no-link -O1 -gline-tables-only
endif

# as gcc and clang both answer: x86_64-linux-gnu, x86_64-pc-linux-gnu
CPU := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
ARCH := $(patsubst x86_64,x86,$(patsubst aarch64,arm64,$(CPU)))
# where Debian has asm/*.h, which clang -target bpf does not look through
MULTIARCH := $(CPU)-linux-gnu
# the folder may have blanks in its name
PREFIX_MAP := -ffile-prefix-map='$(subst ','\'',$(CURDIR))'=.

WARN := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes \
	-Wvla $(if $(filter 1,$(WERROR)),-Werror)
# not where the user says it, nor without -O, where libc warns of it
FORTIFY := $(if $(filter-out -O0,$(filter -O%,$(CFLAGS))),$(if $(findstring \
	_FORTIFY_SOURCE,$(CPPFLAGS) $(CFLAGS)),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2))
HARDEN := -fPIE -fstack-protector-strong -fstack-clash-protection \
	$(FORTIFY) $(PREFIX_MAP)
USER_CFLAGS = -std=gnu11 $(WARN) $(HARDEN) -D_GNU_SOURCE -Iinclude -Iuser \
	-I$(O) -DMASQ_VERSION='"$(VERSION)"' $(PKG_CFLAGS) $(CPPFLAGS) $(CFLAGS) \
	$(SAN_CFLAGS) $(SYSROOT:%=--sysroot=%)
# tables of rows leave out what is nothing, which clang minds; cmocka 2 has new
# names that 1.1 does not know
TEST_CFLAGS = $(USER_CFLAGS) -Itests/lib -Wno-missing-field-initializers \
	-Wno-deprecated-declarations
USER_LDFLAGS = -pie -Wl,-z,relro,-z,now $(SAN) $(SYSROOT:%=--sysroot=%) $(LDFLAGS)
BPF_CFLAGS := -target bpf -mcpu=v2 -O2 -g -std=gnu11 -Wall -Wextra -Wshadow \
	-Wno-unused-function -Wno-unused-parameter \
	-Wno-address-of-packed-member $(if $(filter 1,$(WERROR)),-Werror) \
	-D__TARGET_ARCH_$(ARCH) -Iinclude -Ibpf $(PREFIX_MAP) \
	-idirafter $(SYSROOT)/usr/include/$(MULTIARCH)

USER_SRC := $(wildcard user/*/*.c)
USER_OBJ := $(USER_SRC:user/%.c=$(O)/user/%.o)
# everything but the commands, for the tests to link with
USER_LIB := $(filter-out $(addprefix $(O)/user/cli/,main.o commands.o cmd_%.o),$(USER_OBJ))
# name:extra clang flags, one BPF object each
BPF_OBJS := masq masq_modern masq_noct masq_probe masq_nfprog
BPF_FLAGS_masq :=
BPF_FLAGS_masq_modern := -DMASQ_MODERN -DMASQ_ASKS_CT -mcpu=v3
BPF_FLAGS_masq_noct := -DMASQ_MODERN -mcpu=v3
BPF_FLAGS_masq_probe :=
BPF_FLAGS_masq_nfprog :=
BPF_SRC_masq := bpf/masq.bpf.c
BPF_SRC_masq_modern := bpf/masq.bpf.c
BPF_SRC_masq_noct := bpf/masq.bpf.c
BPF_SRC_masq_probe := bpf/probe.bpf.c
BPF_SRC_masq_nfprog := bpf/nfprog.bpf.c
SKELS := $(BPF_OBJS:%=$(O)/%.skel.h)

TEST_SRC := $(wildcard tests/unit/*.c) $(wildcard tests/prog/*.c)
UNIT_BIN := $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(wildcard tests/unit/test_*.c))
PROG_BIN := $(patsubst tests/prog/%.c,$(O)/tests/prog/%,$(wildcard tests/prog/test_*.c))
PROG_LIB := $(patsubst tests/lib/%.c,$(O)/tests/lib/%.o,$(wildcard tests/lib/*.c))

.PHONY: all tests bench bench-tools fuzz fuzzers model mutants torture kernels check check-unit lint dist krew deb install uninstall clean help
all: $(O)/masqbpf

$(O)/masqbpf: $(USER_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(USER_LDFLAGS) -o $@ $(USER_OBJ) $(PKG_LIBS)

# hidden: a library that has a function of the same name keeps its own
$(O)/user/%.o: user/%.c Makefile | $(SKELS)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(USER_CFLAGS) -fvisibility=hidden -MMD -MP -c -o $@ $<

define bpf_rules
$(O)/$(1).bpf.o: $$(BPF_SRC_$(1)) Makefile
	$$(call say,BPF,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CLANG) $$(BPF_CFLAGS) $$(BPF_FLAGS_$(1)) -MMD -MP -MT $$@ -MF $(O)/$(1).bpf.d -c -o $$@.tmp $$<
	$$(Q)$$(BPFTOOL) gen object $$@ $$@.tmp && rm $$@.tmp
$(O)/$(1).skel.h: $(O)/$(1).bpf.o
	$$(call say,SKEL,$$@)
	$$(Q)$$(BPFTOOL) gen skeleton $$< name $(1) > $$@.tmp && mv $$@.tmp $$@
endef
$(foreach b,$(BPF_OBJS),$(eval $(call bpf_rules,$(b))))

tests: $(UNIT_BIN) $(PROG_BIN) $(O)/tests/bench/bench
$(O)/tests/lib/%.o: tests/lib/%.c | $(SKELS)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CFLAGS) -MMD -MP -c -o $@ $<
$(O)/tests/%: tests/%.c $(USER_LIB) $(PROG_LIB) | $(SKELS)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CFLAGS) -MMD -MP -MF $@.d -o $@ $< $(PROG_LIB) $(USER_LIB) $(USER_LDFLAGS) $(PKG_LIBS) -lcmocka

# UNIT: names of those to run, all of them unless it is given
UNIT = $(notdir $(UNIT_BIN))
check-unit: $(UNIT:%=$(O)/tests/unit/%) ## the tests of C code on this machine
	$(Q)for t in $^; do $$t || exit 1; done

# FUZZ_SECONDS of each, several at a time, over tests/fuzz/corpus
fuzz: ## ten minutes of each fuzzer, with sanitizers (scripts/fuzz.sh)
	$(Q)scripts/fuzz.sh
ifeq ($(SANITIZE),1)
FUZZ_BIN := $(patsubst tests/fuzz/%.c,$(O)/tests/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
fuzzers: $(FUZZ_BIN)
# what the fuzzed code would do to the machine is done by stand-ins: their
# definitions win over those of the archive and of the shared libraries
$(O)/libmasqbpf.a: $(filter-out $(O)/user/cli/main.o,$(USER_OBJ))
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(O)/tests/fuzz/%: tests/fuzz/%.c $(O)/libmasqbpf.a | $(SKELS)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CFLAGS) -fsanitize=fuzzer -MMD -MP -MF $@.d -o $@ $< \
		$(O)/libmasqbpf.a $(USER_LDFLAGS) -fsanitize=fuzzer $(PKG_LIBS)
else
fuzzers: ## build them only: make SANITIZE=1 fuzzers
	$(Q)$(MAKE) SANITIZE=1 fuzzers
endif

$(O)/bench.bpf.o: tests/bench/gen.bpf.c Makefile
	$(call say,BPF,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MT $@ -MF $(O)/bench.bpf.d -c -o $@ $<
$(O)/bench.skel.h: $(O)/bench.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name bench_skel > $@.tmp && mv $@.tmp $@
BPF_SRC_bench_xdp := tests/bench/xdp.bpf.c
BPF_FLAGS_bench_xdp := -Itests/bench
$(eval $(call bpf_rules,bench_xdp))
$(O)/tests/bench/%: tests/bench/%.c $(USER_LIB) $(O)/bench.skel.h $(O)/bench_xdp.skel.h
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(USER_CFLAGS) -Itests/bench -MMD -MP -MF $@.d -o $@ $< $(USER_LIB) $(USER_LDFLAGS) $(PKG_LIBS)
BENCH_BIN := $(addprefix $(O)/tests/bench/,bench stall walk fill3)
bench: $(O)/masqbpf $(BENCH_BIN) ## measure (scripts/bench.sh; takes long)
	$(Q)scripts/bench.sh

model: ## every order of the flow table's steps, in full (tests/model; many minutes)
	$(Q)MODEL=full tests/model/test_table.sh
mutants: ## one decision taken out at a time: does a test notice? (scripts/mutants.py)
	$(Q)scripts/mutants.py
torture: all tests ## an hour of churn, long fault runs, valgrind, bare machines (scripts/torture.sh)
	$(Q)scripts/torture.sh
kernels: ## the tests on Debian's kernels in qemu, into docs/kernels.md (hours; scripts/kernels.sh)
	$(Q)scripts/kernels.sh

bench-tools: $(O)/masqbpf $(O)/tests/bench/bench ## measure flows, watch and plan (scripts/bench_tools.sh)
	$(Q)scripts/bench_tools.sh

check: ## build and run every test (the same as scripts/test.sh without packages)
	$(Q)scripts/test.sh --no-deps
lint: ## style, shell and man page checks
	$(Q)scripts/lint.sh

# Of what git knows, as it is here; the same sources give the same file.
DIST := $(O)/masqbpf-$(VERSION).tar.gz
dist: ## a tarball of the sources
	$(Q)mkdir -p $(O)
	$(Q)git ls-files -z --cached -- ':!debian' ':!.gitignore' ':!.ci' | \
		tar --null --files-from - --sort=name --owner=0 --group=0 \
		--numeric-owner --mode=u+rw,go=rX --mtime="@$$(git log -1 --format=%ct)" \
		--transform='flags=rSh;s,^,masqbpf-$(VERSION)/,' -c | gzip -9n > $(DIST).tmp
	$(Q)mv $(DIST).tmp $(DIST)
	@echo $(DIST)
# URI: where the archive will lie. To try it without that:
# kubectl krew install --manifest=masq.yaml --archive=masq.tar.gz
URI ?= https://example.org/masq.tar.gz
krew: ## kubectl masq as krew installs it, in O/krew
	$(Q)mkdir -p $(O)/krew
	$(Q)tar --owner=0 --group=0 --numeric-owner --mode=755 --mtime=@0 -c -C deploy \
		kubectl-masq | gzip -9n > $(O)/krew/masq.tar.gz
	$(Q)sed -e 's|@VERSION@|$(VERSION)|; s|@URI@|$(URI)|' \
		-e "s|@SHA256@|$$(sha256sum $(O)/krew/masq.tar.gz | cut -d' ' -f1)|" \
		deploy/kubectl-masq.krew.yaml > $(O)/krew/masq.yaml
	@echo $(O)/krew/masq.yaml
deb: ## Debian packages, in O/deb
	$(Q)scripts/deb.sh

COMPLETIONS := bash-completion/completions zsh/site-functions fish/vendor_completions.d
# README with what it links to beside it
DOCDIR = $(DESTDIR)$(PREFIX)/share/doc/masqbpf
install: all ## into DESTDIR/PREFIX
	install -D -m 755 $(O)/masqbpf $(DESTDIR)$(PREFIX)/sbin/masqbpf
	install -d $(DESTDIR)$(PREFIX)/share/man/man8
	sed 's|/usr/local/|$(PREFIX)/|' docs/masqbpf.8 \
		> $(DESTDIR)$(PREFIX)/share/man/man8/masqbpf.8
	install -d $(COMPLETIONS:%=$(DESTDIR)$(PREFIX)/share/%)
	$(O)/masqbpf completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/masqbpf
	$(O)/masqbpf completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_masqbpf
	$(O)/masqbpf completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/masqbpf.fish
	rm -rf $(DOCDIR)/docs $(DOCDIR)/deploy
	install -d $(DOCDIR)/docs
	install -m 644 README.md $(DOCDIR)
	install -m 644 docs/*.md docs/*.svg $(DOCDIR)/docs
	cp -RP deploy $(DOCDIR)
	rm -r $(DOCDIR)/deploy/image $(DOCDIR)/deploy/systemd
	chmod -R u=rwX,go=rX $(DOCDIR)
	install -D -m 644 deploy/systemd/masqbpf.sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/masqbpf.conf
	install -d $(DESTDIR)$(UNITDIR)
	for unit in agent attach; do \
		sed 's|/usr/local/|$(PREFIX)/|' deploy/systemd/masqbpf-$$unit.service \
			> $(DESTDIR)$(UNITDIR)/masqbpf-$$unit.service; \
	done
uninstall:
	rm -f $(DESTDIR)$(UNITDIR)/masqbpf-agent.service \
		$(DESTDIR)$(UNITDIR)/masqbpf-attach.service
	rm -f $(DESTDIR)$(PREFIX)/sbin/masqbpf $(DESTDIR)$(PREFIX)/share/man/man8/masqbpf.8
	rm -f $(DESTDIR)$(PREFIX)/share/bash-completion/completions/masqbpf \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_masqbpf \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/masqbpf.fish
	rm -f $(DESTDIR)$(PREFIX)/lib/sysusers.d/masqbpf.conf
	rm -rf $(DOCDIR)
clean:
	rm -rf $(O)
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

-include $(wildcard $(O)/user/*/*.d $(O)/*.bpf.d $(O)/tests/*/*.d)
.DELETE_ON_ERROR:
