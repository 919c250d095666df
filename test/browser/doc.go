// Package browser tests the page of internal/dashboard in a real browser: Debian's chromium,
// or the one that $CHROMIUM names. It is a module of its own, so that the tool that drives the
// browser is in nobody's module graph.
//
// What the pages look like is kept in the directory that $AGENTSESSION_SCREENSHOTS names. With
// -docs the pictures of the documentation are made anew.
package browser
