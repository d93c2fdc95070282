exports.Products1704067200000 = class Products1704067200000 {
  name = 'Products1704067200000';
  async up(runner) {
    await runner.query('CREATE TABLE product (id bigint PRIMARY KEY)');
  }
  async down(runner) {
    await runner.query('DROP TABLE product');
  }
};
