// Migrates a database by TypeORM with the migrations that are not TypeScript, which needs a compiler.
const path = require('node:path');
require('reflect-metadata');
if (process.argv[2] === 'version') {
  console.log('TypeORM', JSON.parse(require('node:fs').readFileSync(path.join(path.dirname(require.resolve('typeorm')), 'package.json'))).version);
} else {
  const { DataSource } = require('typeorm');
  const source = new DataSource({
    type: 'postgres',
    url: process.env.DATABASE_URL,
    migrations: [path.join(__dirname, 'migrations/*.cjs')],
  });
  (async () => {
    await source.initialize();
    await source.runMigrations();
    await source.destroy();
  })();
}
