// SPDX-License-Identifier: Apache-2.0

// Package iam has the daemon take IAM tokens in front of real databases, from real clients, and follow secrets in AWS Secrets
// Manager through a rotation. AWS is package fakeaws; all of the SDK's clients are real.
package iam
