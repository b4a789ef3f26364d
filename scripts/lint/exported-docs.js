/** Local oxlint rule: every exported declaration says in a doc comment what it is for. */
const exportedDocs = {
  meta: { type: 'suggestion' },
  create(context) {
    return {
      ExportNamedDeclaration(node) {
        if (!node.declaration) return;
        const source = context.sourceCode ?? context.getSourceCode();
        const before = source.getText().slice(0, node.range[0]).trimEnd();
        if (!before.endsWith('*/')) {
          context.report({ node, message: 'An export needs a doc comment that says what it is for.' });
        }
      },
    };
  },
};

export default { meta: { name: 'drover' }, rules: { 'exported-docs': exportedDocs } };
