package main

import (
	"os"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestPacking(t *testing.T) {
	g := NewWithT(t)
	raw, err := os.ReadFile("../../Dockerfile")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(packing(string(raw), "gateway")).To(Equal("FROM scratch AS gateway\nCOPY gateway /gateway\nUSER 65532:65532\nENTRYPOINT [\"/gateway\"]\n\n"))
	for _, program := range []string{"operator", "agents", "echo-agent", "pause"} {
		text, err := packing(string(raw), program)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(strings.Count(text, "FROM ")).To(Equal(1), "the classic builder builds every stage")
		g.Expect(text).To(ContainSubstring("COPY " + program + " /"))
	}
	for _, no := range []string{"built", "nothing", "gate"} {
		_, err := packing(string(raw), no)
		g.Expect(err).To(MatchError(ContainSubstring("no stage")), no)
	}
	_, all := stages(string(raw))
	g.Expect(isStage(all[len(all)-1], "operator")).To(BeTrue(), "docker build without a target makes the operator's")
}

func TestWithoutAStage(t *testing.T) {
	g := NewWithT(t)
	raw, err := os.ReadFile("../../test/e2e/stock/Dockerfile")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(without(string(raw), "debian")).To(And(Not(ContainSubstring("rootfs.tar")), ContainSubstring("python:"), ContainSubstring("FROM ${BASE}"), ContainSubstring("ARG BASE")))
	g.Expect(without(string(raw), "docker")).To(And(ContainSubstring("rootfs.tar"), Not(ContainSubstring("python:")), ContainSubstring("FROM ${BASE}"), ContainSubstring("ARG BASE")))
}

func TestImagesOf(t *testing.T) {
	g := NewWithT(t)
	g.Expect(imagesOf([]string{"a:b", "./cmd/a", "c:d", "./c"})).To(Equal([]image{{"a:b", "./cmd/a"}, {"c:d", "./c"}}))
	for _, args := range [][]string{nil, {"only-a-tag"}, {"a:b", "./cmd/a", "c:d"}} {
		_, err := imagesOf(args)
		g.Expect(err).To(MatchError(ContainSubstring("pairs of a tag and a package")))
	}
}
