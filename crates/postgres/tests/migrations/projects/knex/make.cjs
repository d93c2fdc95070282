// Migrates a database by Knex, all but the last migration.
const path = require('node:path');
if (process.argv[2] === 'version') {
  console.log('Knex', require('knex/package.json').version);
} else {
  const knex = require('knex')({
    client: 'pg',
    connection: process.env.DATABASE_URL,
    migrations: { directory: path.join(__dirname, 'migrations') },
  });
  (async () => {
    await knex.migrate.up();
    await knex.migrate.up();
    await knex.destroy();
  })();
}
