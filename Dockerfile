# The image of every Drover process; which one it is, its command says (`node src/cli.ts --help`).
#   docker build -t drover .
ARG NODE_VERSION=24

FROM node:${NODE_VERSION}-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# `npm install` keeps to the lock file like `npm ci`, but does not fail where that lacks packages for platforms that
# are not ours. The Node that npm scripts pin is not needed where Node itself is right; the other optional packages
# are: the workflow bundler's native part is one.
RUN npm install --no-save --omit=dev --ignore-scripts --no-fund --no-audit \
    && rm -rf node_modules/node-linux-* node_modules/node-bin-* node_modules/.bin/node

FROM node:${NODE_VERSION}-bookworm-slim
WORKDIR /app
# Volumes mounted here take over the owner.
RUN mkdir -p /data /secrets && chown node:node /data /secrets && chmod 700 /data /secrets
COPY --from=dependencies /app/node_modules node_modules
COPY package.json package-lock.json tsconfig.json ./
COPY docker/sandbox docker/sandbox
COPY scripts scripts
COPY src src
COPY activities activities
COPY workflows workflows
# In a container, its network does the fencing.
ENV NODE_ENV=production \
    NODE_OPTIONS=--disable-warning=ExperimentalWarning \
    DROVER_HOST=0.0.0.0 \
    DROVER_DATA_DIR=/data
USER node
EXPOSE 8787
ENTRYPOINT ["node", "src/cli.ts"]
CMD ["api"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["node", "src/cli.ts", "health"]
