// SPDX-License-Identifier: Apache-2.0

// Package deploy tests what is in the folder deploy as far as a machine without a
// container engine or a cluster can: manifests are decoded strictly into
// Kubernetes' own types, each embedded configuration and command line is given to
// `rdsproxy check`, and times and names that have to agree are compared.
//
// It is a module of its own, so that the types of Kubernetes stay out of the main one.
package deploy
