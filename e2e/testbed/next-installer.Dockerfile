# The installer of a release to come: the same programs and one file more, so that its payload has another digest.
ARG BASE
FROM ${BASE}
COPY next /payload/next
